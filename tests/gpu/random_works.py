"""Random programs of the benchmark's small stages, some of them on the host, and requests for them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.gpu.engines import on_plan
from benchmarks.gpu.works import Mode, Node, Work, planned

REQUESTS = 12
BATCH = 8


def random_work(rng: random.Random) -> Work:
    """Two to ten stages, each of one value made before or of several."""
    nodes: list[Node] = [Node("n0", "small", ("x",))]
    for i in range(1, rng.randint(2, 10)):
        known = ["x", *(node.name for node in nodes)]
        reads = tuple(rng.sample(known, min(len(known), rng.choice([1, 1, 2, 3]))))
        nodes.append(Node(f"n{i}", "small" if len(reads) == 1 else "join", reads))
    read = {name for node in nodes for name in node.reads}
    loose = tuple(node.name for node in nodes if node.name not in read)
    return Work("random", (*nodes, Node("last", "join", loose)))


def check(seed: int, on: str, library: str) -> None:
    """Requests of one to four rows, several at a time, in batches of up to eight: every answer equals the host's."""
    rng = random.Random(seed)
    work = random_work(rng)
    host = [node.name for node in work.nodes if rng.random() < 0.2]
    mode: Mode = rng.choice(["apart", "together", "graph"])
    stages = work.stages("numpy", "cpu")
    requests = [work.rows(rng.randint(1, 4), seed=i) for i in range(REQUESTS)]
    plan = planned(work, on, library, mode, BATCH, host)
    with on_plan(replace(plan, serial=rng.random() < 0.2)) as running:
        jobs = [running.submit("p", {"x": x}) for x in requests]
        for job, x in zip(jobs, requests, strict=True):
            same(job.result(60)["out"], work.answer(stages, x))
        assert running.drain(20)
        assert running.check_idle() == []


def same(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
