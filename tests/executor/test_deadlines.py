"""R9, R10: work whose time is up never begins, wherever it waits; by a manual clock, so exactly."""

from __future__ import annotations

import random

import numpy as np
import pytest

from executor.errors import DeadlineExceeded
from tests.pipeline_dsl.graphs import Build, stage

from .gates import PATIENCE, answer, scene

MS = 1_000_000
REQUESTS = 1_000
"""In each of ten rounds."""


@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_deadlines_around_the_time_in_the_queue(seed: int) -> None:
    """A batch holds only requests that had time left when it was formed; all others are told that theirs is up."""
    chance = random.Random(seed)
    with scene(batching_max=16, queue_max=REQUESTS, pipeline={"max_inflight": REQUESTS + 1}) as s:
        limits = [round(chance.uniform(1, 50) * MS) for _ in range(REQUESTS)]
        jobs = [s.send(0.0)]
        s.gate.began()
        jobs += [s.send(float(i + 1), timeout=limit / 1e9) for i, limit in enumerate(limits)]
        passed, executed = 0, set[int]()
        waiting = set(range(REQUESTS))
        while waiting:
            step = round(chance.uniform(0.2, 2) * MS)
            s.clock.advance(step)
            passed += step
            waiting = {i for i in waiting if limits[i] > passed}
            s.gate.open()
            if waiting:
                batch = {int(value) - 1 for value in np.asarray(s.gate.began().inputs[0])[:, 0]}
                assert batch <= waiting, "formed of those that have time left"
                waiting -= batch
                executed |= batch
        s.gate.open()
        failed = {i for i, job in enumerate(jobs[1:]) if job.exception(PATIENCE) is not None}
        assert all(isinstance(jobs[i + 1].exception(), DeadlineExceeded) for i in failed)
        assert REQUESTS // 10 < len(failed) < REQUESTS
        assert failed | executed == set(range(REQUESTS))


def test_steps_behind_the_deadline_do_not_run() -> None:
    """Five steps; time is up while the third one runs."""
    made = Build()
    one = stage("s", backend="gate")
    value = made.input("x")
    for n in range(5):
        value = made.call(f"step{n}", one, value)
    made.output("out", value)
    with scene(made) as s:
        job = s.send(1, timeout=0.010)
        for _ in range(2):
            s.gate.began()
            s.clock.advance(4 * MS)
            s.gate.open()
        assert s.gate.began().rows == 1
        s.clock.advance(4 * MS)
        with pytest.raises(DeadlineExceeded):
            answer(job)
        s.gate.open(10)
    assert len(s.gate.seen) == 3
