"""What ops do: each at its two times, on the bytes of program order when it is issued and on the actual ones later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backends.values import Array

from .data import SimData
from .errors import RaceError, WrongValue
from .memory import same_bytes

if TYPE_CHECKING:
    from .simulation import Simulation


class Work:
    """A function of arrays, at its two times: `begin` on ideal bytes when it is issued, `end` on actual ones."""

    __slots__ = ("reads", "run", "writes")

    def __init__(self, run: Callable[..., None], writes: Sequence[SimData], reads: Sequence[SimData]) -> None:
        self.run = run
        self.writes = writes
        self.reads = reads

    def begin(self) -> None:
        self._computed([w.ideal for w in self.writes], [r.ideal for r in self.reads])

    def end(self) -> None:
        self._computed([w.actual for w in self.writes], [r.actual for r in self.reads])

    def _computed(self, writes: Sequence[Array], reads: Sequence[Array]) -> None:
        """Run it. RaceError if it writes what it said it only reads: others may read that at the same time."""
        try:
            self.run(*writes, *map(_closed, reads))
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise RaceError(f"{self.run.__qualname__} writes an array that it was launched to read") from error

    def again(self) -> Work:
        """For another launch of a captured graph."""
        return self


class Upload(Work):
    """A copy from the host."""

    __slots__ = ("expected", "simulation", "source")

    def __init__(self, simulation: Simulation, target: SimData, source: Array, expected: Array) -> None:
        super().__init__(np.copyto, [target], [])
        self.simulation = simulation
        self.source = source
        self.expected = expected
        """What the source holds in program order."""

    def begin(self) -> None:
        np.copyto(self.writes[0].ideal, self.expected)

    def end(self) -> None:
        np.copyto(self.writes[0].actual, self.source)
        if not same_bytes(self.source, self.expected) and not self.simulation.lost:
            raise RaceError(
                f"a host array of shape {list(self.source.shape)} changed before its copy to the device ran; "
                "leave it alone until the event behind the copy has passed"
            )


class Download(Work):
    """A copy to the host."""

    __slots__ = ("expected", "ideal", "simulation", "target")

    def __init__(self, simulation: Simulation, target: Array, ideal: Array, source: SimData) -> None:
        super().__init__(np.copyto, [], [source])
        self.simulation = simulation
        self.target = target
        self.ideal = ideal

    def begin(self) -> None:
        np.copyto(self.ideal, self.reads[0].ideal)
        self.expected = self.ideal.copy()

    def end(self) -> None:
        np.copyto(self.target, self.reads[0].actual)
        if not same_bytes(self.target, self.expected) and not self.simulation.lost:
            raise WrongValue(
                f"a copy of {self.reads[0]} to the host brings other bytes than work in the order of issue gives"
            )


def _closed(array: Array) -> Array:
    made = array.view()
    made.flags.writeable = False
    return made
