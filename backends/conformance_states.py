"""The suite of backends that run stages with state, beside `conformance`.

    class TestMyState(StatefulConformance):
        def backend(self): return MyBackend()
        def stage(self): return ...   # x: f32[*, 4] -> y: f32[*, 4], state total: f32[4]; y = total = total + x

States are ports behind the inputs and outputs (`states.with_states`): what one call gives, the next one gets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import Batch, Instance
from .checks import OutputCheck
from .conformance import WIDTH
from .conformance_device import OnDevice
from .states import initial, with_states
from .values import Array


class StatefulConformance(OnDevice):
    """Tests of one backend; subclasses say how to get it and a stage for it."""

    @abstractmethod
    def stage(self) -> StagePlan:
        """A stage `x: f32[*, 4] -> y: f32[*, 4]` with a state `total: f32[4] = zeros()`."""

    def expected(self, x: Array, total: Array) -> tuple[Array, Array]:
        """What `y` and `total` are after a call."""
        return total + x, total + x

    @contextmanager
    def running(self) -> Iterator[tuple[Instance, OutputCheck]]:
        """A loaded instance, closed at the end, and the check of what it gives."""
        plan = with_states(self.stage())
        loaded = self.load(plan)
        try:
            loaded.warmup()
            yield loaded, OutputCheck(self.placed(plan))
        finally:
            loaded.close()

    def test_the_state_begins_as_declared(self) -> None:
        (state,) = self.stage().contract.states
        begins = initial(state)
        assert np.array_equal(begins, np.zeros(WIDTH, np.float32))

    def test_what_one_call_gives_the_next_one_gets(self) -> None:
        total: Array = np.zeros((1, WIDTH), np.float32)
        with self.running() as (instance, check):
            for seed in range(4):
                total = self._step(instance, check, _rows(1, seed), total)

    def test_rows_of_several_sequences_stay_apart(self) -> None:
        total: Array = np.zeros((5, WIDTH), np.float32)
        with self.running() as (instance, check):
            for seed, rows in enumerate((5, 3, 1)):
                total = self._step(instance, check, _rows(rows, seed), total[:rows])

    def test_a_state_that_was_handed_out_is_not_written_again(self) -> None:
        with self.running() as (instance, check):
            first = self._step(instance, check, _rows(2, 1), np.zeros((2, WIDTH), np.float32))
            kept = first.copy()
            self._step(instance, check, _rows(2, 2), first)
            assert np.array_equal(first, kept)

    def _step(self, instance: Instance, check: OutputCheck, x: Array, total: Array) -> Array:
        """One call, its answer compared; the new state."""
        before = total.copy()
        batch = Batch((self.on_device(x), self.on_device(total)), len(x), sizes=(1,) * len(x))
        found = tuple(map(self.read, check(batch, self.call(instance, batch)).outputs))
        for made, wanted in zip(found, self.expected(x, before), strict=True):
            assert np.allclose(made, wanted)
        assert np.array_equal(self.read(batch.inputs[1]), before), "a state that was given was changed"
        return found[1]


def _rows(count: int, seed: int) -> Array:
    made: Array = np.random.default_rng(seed).random((count, WIDTH), np.float32)
    made.flags.writeable = False
    return made
