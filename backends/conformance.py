"""The suite every backend passes, importable by those who write one.

    class TestMine(Conformance):
        def backend(self): return MyBackend()
        def stage(self): return ...          # x: f32[*, 4] -> y: f32[*, 4] that computes y = factor * x
        def broken(self): return [...]       # stages that must not load

pytest collects the inherited tests; each can also be called by hand. `device` says where they run (see
`conformance_device`). It checks the promises of `base`: who
owns tensors, what may be written, threads, errors at load, that an instance survives a bad batch and a close
of another."""

from __future__ import annotations

import gc
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import Backend, BackendError, Batch, Instance, InstanceConfig
from .checks import OutputCheck
from .conformance_device import OnDevice, share_memory
from .values import Array

WIDTH = 4


class Conformance(OnDevice):
    """Tests of one backend; subclasses say how to get it and a stage for it."""

    factor: float = 2.0
    """What the stage multiplies by."""
    sees_shapes: bool = True
    """Whether the artifact itself refuses an array of the wrong width."""

    @abstractmethod
    def stage(self) -> StagePlan:
        """A stage `x: f32[*, 4] -> y: f32[*, 4]` that computes `y = factor * x`."""

    def broken(self) -> Sequence[StagePlan]:
        """Stages that can not be loaded: a missing file, a wrong signature."""
        return ()

    @contextmanager
    def instance(self, **options: Any) -> Iterator[Instance]:
        """A loaded instance, closed at the end."""
        loaded = self.load(self.stage(), **options)
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

    def batch(self, rows: int, seed: int = 0) -> tuple[Batch, Array]:
        """A batch of one read-only input f32 [rows, 4], where the stage takes it, and what is to come of it."""
        x = make_rows(rows, seed)
        return Batch((self.on_device(x),), rows, sizes=(rows,), request_ids=("r",)), self.factor * x

    def output(self, instance: Instance, batch: Batch) -> Any:
        """The first output of a call."""
        return self.call(instance, batch).outputs[0]

    def test_results_are_right_for_any_number_of_rows(self) -> None:
        check = OutputCheck(self.placed(self.stage()))
        with self.instance() as instance:
            for rows in (1, 3, 32, 2, 1):
                batch, wanted = self.batch(rows)
                result = check(batch, self.call(instance, batch))
                assert result.failed is None
                assert np.allclose(self.read(result.outputs[0]), wanted)

    def test_inputs_are_left_as_they_were(self) -> None:
        with self.instance() as instance:
            batch, _ = self.batch(5)
            before = self.read(batch.inputs[0]).copy()
            self.call(instance, batch)
            assert np.array_equal(self.read(batch.inputs[0]), before)

    def test_results_outlive_later_calls(self) -> None:
        with self.instance() as instance:
            batches = [self.batch(4, seed) for seed in range(5)]
            kept = [(self.output(instance, batch), wanted) for batch, wanted in batches]
            gc.collect()
            for output, wanted in kept:
                assert np.allclose(self.read(output), wanted)

    def test_results_outlive_the_instance(self) -> None:
        batch, wanted = self.batch(3)
        with self.instance() as instance:
            output = self.output(instance, batch)
        del instance
        gc.collect()
        assert np.allclose(self.read(output), wanted)

    def test_two_calls_never_share_memory(self) -> None:
        with self.instance() as instance:
            first, second = (self.output(instance, self.batch(2, seed)[0]) for seed in (1, 2))
            assert not share_memory(first, second)

    def test_a_view_of_a_larger_array_is_a_fine_input(self) -> None:
        whole, wanted = self.batch(8)
        with self.instance() as instance:
            output = self.output(instance, Batch((whole.inputs[0][2:5],), 3, sizes=(3,)))
            assert np.allclose(self.read(output), wanted[2:5])

    def test_calls_may_come_from_other_threads(self) -> None:
        with self.instance() as instance:
            if instance.thread_affine:
                return
            batch, wanted = self.batch(3)
            output = in_thread(lambda: self.output(instance, batch))
            assert np.allclose(self.read(output), wanted)

    def test_instances_work_side_by_side(self) -> None:
        with self.instance(index=0) as one, self.instance(index=1) as two:
            found: list[Any] = [None, None]

            def work(place: int, instance: Instance) -> None:
                batches = [self.batch(16, seed) for seed in range(20)]
                found[place] = [(self.output(instance, batch), wanted) for batch, wanted in batches]

            threads = [threading.Thread(target=work, args=(i, each)) for i, each in enumerate((one, two))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for outputs in found:
                for output, wanted in outputs:
                    assert np.allclose(self.read(output), wanted)

    def test_closing_one_instance_leaves_the_others(self) -> None:
        with self.instance(index=0) as survivor:
            with self.instance(index=1) as other:
                self.call(other, self.batch(1)[0])
            batch, wanted = self.batch(2)
            assert np.allclose(self.read(self.output(survivor, batch)), wanted)

    def test_a_bad_batch_fails_alone(self) -> None:
        with self.instance() as instance:
            wrong = Batch((self.on_device(np.ones((2, WIDTH + 1), np.float32)),), 2, sizes=(2,))
            assert self._raises(instance, wrong) or not self.sees_shapes
            batch, wanted = self.batch(2)
            assert np.allclose(self.read(self.output(instance, batch)), wanted)

    def test_what_can_not_be_loaded_says_so(self) -> None:
        for stage in self.broken():
            message = str(self._refusal(partial(self.load, stage), stage))
            assert stage.name in message, f"the message does not name the stage: {message}"

    def test_an_unknown_device_is_refused(self) -> None:
        stage = replace(self.stage(), device="moon")
        load = self.backend().load
        assert "moon" in str(self._refusal(lambda: load(stage, InstanceConfig(device="moon")), stage))

    def _refusal(self, load: Callable[[], Instance], stage: StagePlan) -> BackendError:
        try:
            load().close()
        except BackendError as error:
            return error
        raise AssertionError(f"the stage was loaded: {dict(stage.arguments)}")

    def _raises(self, instance: Instance, batch: Batch) -> bool:
        try:
            self.call(instance, batch)
        except Exception:
            return True
        return False


def make_rows(rows: int, seed: int = 0) -> Array:
    """f32 [rows, 4], read-only."""
    array: Array = np.random.default_rng(seed).random((rows, WIDTH), np.float32)
    array.flags.writeable = False
    return array


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
