"""The suite every backend passes, importable by those who write one.

    class TestMine(Conformance):
        def backend(self): return MyBackend()
        def stage(self): return ...          # x: f32[*, 4] -> y: f32[*, 4] that computes y = factor * x
        def broken(self): return [...]       # stages that must not load

pytest collects the inherited tests; each can also be called by hand. It checks the promises of `base`: who
owns tensors, what may be written, threads, errors at load, that an instance survives a bad batch and a close
of another."""

from __future__ import annotations

import gc
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import Backend, BackendError, Batch, Instance, InstanceConfig
from .checks import OutputCheck

WIDTH = 4


class Conformance(ABC):
    """Tests of one backend; subclasses say how to get it and a stage for it."""

    factor: float = 2.0
    """What the stage multiplies by."""
    sees_shapes: bool = True
    """Whether the artifact itself refuses an array of the wrong width."""

    @abstractmethod
    def backend(self) -> Backend:
        """The backend under test."""

    @abstractmethod
    def stage(self) -> StagePlan:
        """A stage `x: f32[*, 4] -> y: f32[*, 4]` that computes `y = factor * x`."""

    def broken(self) -> Sequence[StagePlan]:
        """Stages that can not be loaded: a missing file, a wrong signature."""
        return ()

    @contextmanager
    def instance(self, **options: Any) -> Iterator[Instance]:
        """A loaded instance, closed at the end."""
        loaded = self.backend().load(self.stage(), InstanceConfig(**options))
        try:
            loaded.warmup()
            yield loaded
        finally:
            loaded.close()

    def test_it_has_the_members_of_a_backend(self) -> None:
        backend = self.backend()
        assert isinstance(backend, Backend)
        assert backend.name
        with self.instance() as instance:
            assert isinstance(instance, Instance)
            assert isinstance(instance.thread_affine, bool)

    def test_results_are_right_for_any_number_of_rows(self) -> None:
        check = OutputCheck(self.stage())
        with self.instance() as instance:
            for rows in (1, 3, 32, 2, 1):
                batch = make_batch(rows)
                result = check(batch, instance.execute(batch))
                assert result.failed is None
                assert np.allclose(result.outputs[0], self.factor * batch.inputs[0])

    def test_inputs_are_left_as_they_were(self) -> None:
        with self.instance() as instance:
            batch = make_batch(5)
            before = batch.inputs[0].copy()
            instance.execute(batch)
            assert np.array_equal(batch.inputs[0], before)

    def test_results_outlive_later_calls(self) -> None:
        with self.instance() as instance:
            batches = [make_batch(4, seed) for seed in range(5)]
            kept = [(batch, instance.execute(batch).outputs[0]) for batch in batches]
            gc.collect()
            for batch, output in kept:
                assert np.allclose(output, self.factor * batch.inputs[0])

    def test_results_outlive_the_instance(self) -> None:
        batch = make_batch(3)
        with self.instance() as instance:
            output = instance.execute(batch).outputs[0]
        del instance
        gc.collect()
        assert np.allclose(output, self.factor * batch.inputs[0])

    def test_two_calls_never_share_memory(self) -> None:
        with self.instance() as instance:
            first, second = (instance.execute(make_batch(2, seed)).outputs[0] for seed in (1, 2))
            assert not np.shares_memory(first, second)

    def test_a_view_of_a_larger_array_is_a_fine_input(self) -> None:
        whole = make_batch(8).inputs[0]
        with self.instance() as instance:
            output = instance.execute(Batch((whole[2:5],), 3, sizes=(3,))).outputs[0]
            assert np.allclose(output, self.factor * whole[2:5])

    def test_calls_may_come_from_other_threads(self) -> None:
        with self.instance() as instance:
            if instance.thread_affine:
                return
            batch = make_batch(3)
            outputs = in_thread(lambda: instance.execute(batch).outputs)
            assert np.allclose(outputs[0], self.factor * batch.inputs[0])

    def test_instances_work_side_by_side(self) -> None:
        with self.instance(index=0) as one, self.instance(index=1) as two:
            batches = [make_batch(16, seed) for seed in range(20)]
            found: list[Any] = [None, None]

            def work(place: int, instance: Instance) -> None:
                found[place] = [instance.execute(batch).outputs[0] for batch in batches]

            threads = [threading.Thread(target=work, args=(i, each)) for i, each in enumerate((one, two))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for outputs in found:
                for batch, output in zip(batches, outputs):
                    assert np.allclose(output, self.factor * batch.inputs[0])

    def test_closing_one_instance_leaves_the_others(self) -> None:
        with self.instance(index=0) as survivor:
            with self.instance(index=1) as other:
                other.execute(make_batch(1))
            batch = make_batch(2)
            assert np.allclose(survivor.execute(batch).outputs[0], self.factor * batch.inputs[0])

    def test_a_bad_batch_fails_alone(self) -> None:
        with self.instance() as instance:
            wrong = Batch((np.ones((2, WIDTH + 1), np.float32),), 2, sizes=(2,))
            raised = _raises(instance, wrong)
            assert raised or not self.sees_shapes
            batch = make_batch(2)
            assert np.allclose(instance.execute(batch).outputs[0], self.factor * batch.inputs[0])

    def test_what_can_not_be_loaded_says_so(self) -> None:
        for stage in self.broken():
            message = str(self._refusal(stage, InstanceConfig()))
            assert stage.name in message, f"the message does not name the stage: {message}"

    def test_an_unknown_device_is_refused(self) -> None:
        stage = replace(self.stage(), device="moon")
        assert "moon" in str(self._refusal(stage, InstanceConfig(device="moon")))

    def _refusal(self, stage: StagePlan, config: InstanceConfig) -> BackendError:
        try:
            self.backend().load(stage, config).close()
        except BackendError as error:
            return error
        raise AssertionError(f"the stage was loaded: {dict(stage.arguments)} on {config.device}")


def make_batch(rows: int, seed: int = 0) -> Batch:
    """A batch of one read-only input f32 [rows, 4]."""
    array = np.random.default_rng(seed).random((rows, WIDTH), np.float32)
    array.flags.writeable = False
    return Batch((array,), rows, sizes=(rows,), request_ids=("r",))


def in_thread(work: Any) -> Any:
    """What `work` returns when another thread calls it; raises what it raises."""
    done: dict[str, Any] = {}

    def target() -> None:
        try:
            done["value"] = work()
        except BaseException as error:
            done["error"] = error

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if "error" in done:
        raise done["error"]
    return done["value"]


def _raises(instance: Instance, batch: Batch) -> bool:
    try:
        instance.execute(batch)
    except Exception:
        return True
    return False
