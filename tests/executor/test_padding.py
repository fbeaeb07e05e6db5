"""Padding between stages: what a stage sees behind the end of a row never depends on its batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backends
from backends.base import Batch, BatchResult, InstanceConfig
from backends.values import Ragged
from executor import Engine
from executor.clock import ManualClock
from pipeline_dsl import ir
from pipeline_dsl.ir import Contract, RaggedRule
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, signature

from .gates import PATIENCE

DELAY = 1_000_000


class Model:
    """Backend `model`: `dirty` adds 1 everywhere, the padding too; `total` sums all it sees, padding included."""

    name = "model"
    thread_affine = False

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        return Instance(self, stage.name)


class Instance:
    thread_affine = False

    def __init__(self, model: Model, name: str) -> None:
        self.model, self.name = model, name

    def execute(self, batch: Batch) -> BatchResult:
        x = batch.inputs[0]
        self.model.seen.append(x)
        if self.name == "dirty":
            return BatchResult((x + 1,))
        if self.name == "same":
            return BatchResult((x,))
        return BatchResult((x.sum(axis=1),))

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        pass


def stage(name: str, outputs: dict[str, str], fill: float = 0) -> ir.Stage:
    rule = RaggedRule("L", "pad", fill, buckets=(8, 16))
    return ir.Stage(name, signature({"x": "f32[*, ~L]"}, outputs), "model", {}, Contract(ragged=(rule,)), ".")


def run(first: str, rows: list[list[float]], fill: float = 0) -> tuple[list[float], Model, dict[str, int]]:
    """Each row is a request; all go as one batch through `first` and then `total`. Also what `total` copied."""
    model = Model()
    backends.register("model", lambda: model)
    made = Build()
    value = made.call("a", stage(first, {"y": "f32[*, ~L]"}), made.input("x", "f32[B, ~L]"))
    made.output("out", made.call("b", stage("total", {"s": "f32[*]"}, fill), value), "f32[B]")
    settings = {"batching.max": len(rows), "batching.delay": DELAY}
    clock = ManualClock()
    engine = Engine(build(made.program(stages={first: settings, "total": {}}), HOST), clock)
    engine.start()
    jobs = [engine.submit("p", {"x": [row]}) for row in rows]
    clock.advance(DELAY)
    answers = [job.result(PATIENCE)["out"].item() for job in jobs]
    copied = next(dict(n.copied_bytes) for n in engine.stats().nodes if n.stage == "total")
    engine.stop()
    return answers, model, copied


ROWS = [[1.0], [1.0, 2.0], [1.0, 2.0, 3.0, 4.0, 5.0]]


def test_padding_of_an_output_is_cleaned() -> None:
    answers, model, _ = run("dirty", ROWS)
    assert answers == [sum(row) + len(row) for row in ROWS]
    assert len(model.seen) == 2, "one batch each"


def test_the_filler_is_the_one_a_stage_asks_for() -> None:
    answers, _, _ = run("dirty", ROWS, fill=100)
    assert answers == [sum(row) + len(row) + 100 * (8 - len(row)) for row in ROWS]


@pytest.mark.host
def test_what_is_padded_right_is_not_padded_again() -> None:
    answers, model, copied = run("same", ROWS)
    assert answers == [sum(row) for row in ROWS]
    assert model.seen[1] is model.seen[0]
    assert copied == {}


def test_one_padding_serves_all_who_ask_for_the_same() -> None:
    rows = Ragged([np.ones(2, np.float32), np.ones(3, np.float32)])
    first = rows.padded(0, 8)
    assert rows.holds_padded(0, 8)
    assert rows.padded(0, 8) is first
    assert not rows.holds_padded(0, 16)
    assert not rows.holds_padded(1, 8)
