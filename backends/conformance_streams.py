"""The suite of backends whose stages stream, beside `conformance`.

    class TestMine(StreamingConformance):
        def backend(self): return MyBackend()
        def streaming(self, count): return ...   # x: f32[4] -> y: stream f32[4]: `count` times factor * x

It checks the promises that `base` makes about streams: a call returns at once, elements come one at a time and in
order, calls of one instance may be advanced in turn, elements outlive what comes after them, and a call may be closed
before, between and behind its elements."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan

from .base import Batch, Elements, Instance
from .conformance import WIDTH
from .conformance_device import OnDevice
from .generators import StreamCheck


class StreamingConformance(OnDevice):
    """Tests of one backend's streams; subclasses say how to get it and a stage for it."""

    factor: float = 2.0
    """What the stage multiplies by."""

    @abstractmethod
    def streaming(self, count: int) -> StagePlan:
        """A stage `x: f32[4] -> y: stream f32[4]` that yields `factor * x`, `count` times."""

    @contextmanager
    def instance(self, count: int) -> Iterator[Instance]:
        """A loaded instance, closed at the end."""
        loaded = self.load(self.streaming(count))
        try:
            loaded.warmup()
            yield loaded
        finally:
            loaded.close()

    def begun(self, instance: Instance, count: int, value: float = 1.0) -> Elements:
        """A call on [value] * 4, with its elements checked."""
        batch = Batch((self.on_device(np.full(WIDTH, value, np.float32)),), 1, sizes=(1,), request_ids=("r",))
        result = StreamCheck(self.placed(self.streaming(count)))(batch, self.call(instance, batch))
        assert result.elements is not None
        return result.elements

    def test_it_yields_what_it_should_and_ends(self) -> None:
        for count in (0, 1, 5):
            with self.instance(count) as instance:
                elements, rest = _all(self.begun(instance, count))
                assert len(elements) == count
                assert rest == ()
                assert all(np.allclose(self.read(y), self.factor) for (y,) in elements)

    def test_calls_are_advanced_in_turn(self) -> None:
        with self.instance(4) as instance:
            calls = [self.begun(instance, 4, value) for value in (1.0, 2.0, 3.0)]
            for _ in range(4):
                for value, call in zip((1.0, 2.0, 3.0), calls):
                    (y,) = next(call)
                    assert np.allclose(self.read(y), value * self.factor)
            assert [_all(call) for call in calls] == [([], ())] * 3

    def test_elements_are_never_written_again(self) -> None:
        with self.instance(3) as instance:
            call = self.begun(instance, 3)
            found = [next(call)[0] for _ in range(3)]
            copies = [self.read(y).copy() for y in found]
            _all(call)
            _all(self.begun(instance, 3, 9.0))
            assert all(np.array_equal(self.read(y), copy) for y, copy in zip(found, copies))

    def test_a_call_may_be_closed_at_any_time(self) -> None:
        with self.instance(3) as instance:
            for advanced in range(4):
                call = self.begun(instance, 3)
                for _ in range(advanced):
                    next(call)
                call.close()
                call.close()
                assert _all(call) == ([], None)
            assert len(_all(self.begun(instance, 3))[0]) == 3

    def test_calls_outlive_one_another(self) -> None:
        with self.instance(2) as instance:
            first, second = self.begun(instance, 2, 1.0), self.begun(instance, 2, 5.0)
            next(first)
            next(second)
            first.close()
            assert np.allclose(self.read(next(second)[0]), 5.0 * self.factor)


def _all(call: Elements) -> tuple[list[Any], Any]:
    """What is left of a call: its elements, and what it returned."""
    elements = []
    while True:
        try:
            elements.append(next(call))
        except StopIteration as stop:
            return elements, stop.value
