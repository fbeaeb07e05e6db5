"""Values that lie on a device and are read on the host: copied there, and taken further when they have arrived.

Whoever reads a value on the host (an answer, a host stage, an `if`) says which of its columns it reads (`Node.lands`).
Columns on a device are copied into pinned memory behind what makes them; no thread waits meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backends.device import DeviceArray, Event, Landing
from backends.values import Array, Ragged, Value
from executor.cohort import Cohort
from executor.columns import Column, Copies, Items, Jagged, Stack
from executor.join import Columns

from .arrays import arrays_of, first_array
from .reaper import Reaper

Arrived = Callable[[Exception | None], None]


class Landings:
    """Copies to the host under way in one engine."""

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper

    def begin(
        self, cohort: Cohort, lands: Sequence[int], copies: Copies, arrived: Callable[[Cohort, Exception | None], None]
    ) -> bool:
        """Have the columns at `lands` copied to the host; False if all are there.

        `arrived` is called with the cohort as it is then, by a thread that must go on soon."""
        columns = list(cohort.columns)
        flights = {i: Flight(column) for i in lands if first_array(column := columns[i]) is not None}
        if not flights:
            return False
        for flight in flights.values():
            copies.copied(flight.nbytes, "to_host")

        events = [event for flight in flights.values() for event in flight.events]
        layout, devices = cohort.layout, {event.stream.device for event in events}

        def passed(error: Exception | None) -> None:
            if error is None:
                for i, flight in flights.items():
                    columns[i] = flight.landed()
            for device in devices:  # what was copied is let go now, not with the next batch
                device.sweep()
            arrived(Cohort(layout, tuple(columns)), error)

        self._reaper.watch(events[-1], passed) if _in_order(events) else self._all(events, passed)
        return True

    def _all(self, events: Sequence[Event], passed: Arrived) -> None:
        """Call `passed` when the last of several has passed, with the first error."""
        left = [len(events)]
        errors: list[Exception] = []

        def one(error: Exception | None) -> None:  # always on the reaper's thread
            left[0] -= 1
            if error is not None:
                errors.append(error)
            if not left[0]:
                passed(errors[0] if errors else None)

        for event in events:
            self._reaper.watch(event, one)


def _in_order(events: Sequence[Event]) -> bool:
    return len({event.stream for event in events}) == 1


class Flight:
    """One column on its way: the same column over host arrays that are filled when its events have passed."""

    __slots__ = ("_column", "events", "nbytes")

    def __init__(self, column: Any) -> None:
        self.events: list[Event] = []
        self.nbytes = 0
        self._column = self._copied(column)

    def landed(self) -> Column:
        """The column, now that all has arrived: closed for writing, 0-d arrays as Python values."""
        column = self._column
        if isinstance(column, Items):
            return Items([v.item() if isinstance(v, np.ndarray) and not v.ndim else v for v in column.items])
        return column

    def _copied(self, column: Any) -> Column:
        if isinstance(column, Stack):
            return Stack(self._array(column.array), column.offsets)
        if isinstance(column, Jagged):
            return Jagged(self._value(column.ragged), column.offsets)
        assert isinstance(column, Items), f"a {type(column).__name__} has no device array"
        return Items([self._value(v) for v in column.items])

    def _value(self, value: Value) -> Value:
        if not arrays_of(value):
            return value
        if isinstance(value, DeviceArray):
            return self._array(value)
        if value.padded_form is not None:
            return Ragged(padded=self._array(value.padded_form), lengths=value.lengths(), fill=value.fill)
        if value.is_packed:
            values, offsets = value.packed()
            return Ragged(values=self._array(values), offsets=offsets)
        return Ragged([self._array(row) for row in value])

    def _array(self, array: Any) -> Array:
        if not isinstance(array, DeviceArray):
            return array  # type: ignore[no-any-return]  # on the host already
        landing: Landing = array.block.device.download(array)
        self.events.append(landing.event)
        self.nbytes += array.nbytes
        landing.array.flags.writeable = False
        return landing.array


def hosted_values(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Values on the host; waits for what is on its way."""
    columns = hosted(tuple([Items([value]) for value in values]))
    return tuple([column.element(0) for column in columns if column is not None])


def hosted(columns: Columns) -> Columns:
    """Columns on the host; waits for what is on its way. For tools that look at values, not for serving."""
    made: list[Column | None] = []
    for column in columns:
        if first_array(column) is None:
            made.append(column)
            continue
        flight = Flight(column)
        for event in flight.events:
            event.synchronize()
        made.append(flight.landed())
    return tuple(made)
