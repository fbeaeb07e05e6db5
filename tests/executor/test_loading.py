"""Loading: warm-up batches, threads that instances keep, and failures that leave nothing behind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import backends
from backends.base import BackendError, Batch, BatchResult, InstanceConfig
from executor import Engine, LoadError
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST, Build, stage

from .gates import PATIENCE, row


@dataclass
class Witness:
    """Backend `witness`: keeps what it saw."""

    name: str = "witness"
    thread_affine: bool = False
    width: int = 4
    batches: list[Batch] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    open: int = 0

    def load(self, stage: StagePlan, config: InstanceConfig) -> Witness:
        if stage.arguments.get("fails"):
            raise BackendError(f"stage `{stage.name}`: no such model", "look again")
        self.open += 1
        self.threads.add(threading.get_ident())
        return self

    def execute(self, batch: Batch) -> BatchResult:
        self.batches.append(batch)
        self.threads.add(threading.get_ident())
        return BatchResult((np.zeros((batch.rows, self.width), np.float32),))

    def warmup(self) -> None:
        self.threads.add(threading.get_ident())

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.open -= 1


def engine(witness: Witness, inputs: dict[str, str] | None = None, **settings: Any) -> Engine:
    backends.register("witness", lambda: witness)
    made = Build()
    called = stage("s", inputs, {"y": "f32[*, 4]"}, backend="witness")
    made.output("out", made.call("s", called, made.input("x")))
    keys = {name.replace("_", ".", 1): value for name, value in settings.items()}
    return Engine(build(made.program(stages={"s": keys}), HOST))


def test_warm_up_runs_each_size_as_often_as_asked() -> None:
    witness = Witness()
    running = engine(witness, {"x": "f32[*, L]"}, warmup_batch=[1, 8], warmup_L=[2, 4], warmup_count=2)
    running.start()
    running.stop()
    shapes = [b.inputs[0].shape for b in witness.batches]
    assert shapes == [s for s in [(1, 2), (1, 4), (8, 2), (8, 4)] for _ in range(2)]


def test_warm_up_is_not_counted() -> None:
    witness = Witness()
    running = engine(witness, warmup_batch=[4])
    running.start()
    assert [n.executions for n in running.stats().nodes] == [0]
    running.stop()


def test_warm_up_with_values_from_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", x=row(7, 3))
    witness = Witness()
    running = engine(witness, warmup_data=str(tmp_path / "w.npz"), warmup_batch=[1])
    running.start()
    running.stop()
    np.testing.assert_array_equal(witness.batches[0].inputs[0], row(7, 3))


def test_a_file_without_the_port_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", y=row(7))
    running = engine(Witness(), warmup_data=str(tmp_path / "w.npz"), warmup_batch=[1])
    with pytest.raises(LoadError, match=r"w\.npz.*x is not a file(.|\n)*an \.npz with an array for each input port"):
        running.start()
    running.stop()


def test_a_wrong_result_fails_before_it_is_ready() -> None:
    witness = Witness(width=5)
    running = engine(witness, warmup_batch=[1])
    with pytest.raises(LoadError, match=r"warm-up raised OutputError.*output `y`"):
        running.start()
    running.stop()
    assert witness.open == 0


def test_one_stage_that_fails_closes_the_others() -> None:
    witness = Witness()
    backends.register("witness", lambda: witness)
    made = Build()
    good = made.call("a", stage("a", backend="witness"), made.input("x"))
    bad = stage("b", backend="witness")
    bad.arguments["fails"] = True  # type: ignore[index]  # a dict in tests
    made.output("out", made.call("b", bad, good))
    running = Engine(build(made.program(stages={"a": {"instances": 3}}), HOST))
    before = threading.active_count()
    with pytest.raises(LoadError, match="stage `b`: no such model\nhelp: look again") as caught:
        running.start()
    assert caught.value.stage == "b"
    assert witness.open == 0
    running.stop()
    assert threading.active_count() <= before


def test_a_thread_affine_instance_stays_on_its_thread() -> None:
    witness = Witness(thread_affine=True)
    running = engine(witness, warmup_batch=[1])
    running.start()
    for i in range(5):
        running.submit("p", {"x": row(i)}).result(PATIENCE)
    running.stop()
    assert len(witness.threads) == 1


def test_affine_keeps_instances_on_threads_of_their_own() -> None:
    witness = Witness()
    running = engine(witness, affine=True)
    running.start()
    for i in range(5):
        running.submit("p", {"x": row(i)}).result(PATIENCE)
    running.stop()
    assert len(witness.threads) == 1
