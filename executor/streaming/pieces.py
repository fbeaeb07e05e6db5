"""The answer of a request with stream outputs as one sequence of pieces: dicts of what is new.

First the outputs that are there at once, then one piece for each element, at last the outputs that came with the end.
Streams that one call makes together come together: their elements belong to one another. Elements of others come as
they are made. Each output that is no stream is told once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, cast

from backends.streams import EMPTY, END, Reader, ready
from backends.values import Value
from executor.request import Response
from pipeline_dsl.plan import OutputPlan, PipelinePlan, Slot

from .answer import StreamResponse
from .output import OutputReader

Piece = dict[str, Value]


def together(pipeline: PipelinePlan) -> dict[str, int]:
    """For each stream output what its elements are told together with: equal numbers come together."""
    makers = {slot: step.index for step in pipeline.every_step if step.stage >= 0 for slot in step.outputs}
    streams = [o for o in pipeline.outputs if o.type.stream]
    return {o.name: _maker(o, makers, -1 - i) for i, o in enumerate(streams)}


def _maker(output: OutputPlan, makers: dict[int, int], alone: int) -> int:
    return makers.get(output.source.index, alone) if isinstance(output.source, Slot) else alone


class Pieces(Iterator[Piece]):
    """Pieces of one answer, for threads and for tasks; used by one of them. Closing it cancels the request."""

    def __init__(self, response: StreamResponse, groups: dict[str, int]) -> None:
        """`groups`: as `together` says."""
        self.response = response
        self._readers = {name: cast(OutputReader, response[name]) for name in groups if name in response}
        found: dict[int, list[str]] = {}
        for name in self._readers:
            found.setdefault(groups[name], []).append(name)
        self._open = list(found.values())
        self._half: Piece = {}
        """Elements that wait for those they come with."""
        self._end: Reader | None = response.end
        self._told: set[str] = set(self._readers)
        self._begun = False

    # ---- without waiting

    def take(self) -> Piece | Any:
        """The next piece, EMPTY or END; raises what the request failed with, behind the pieces before that."""
        if not self._begun:
            self._begun = True
            if fresh := self._fresh(self.response.early):
                return fresh
        for group in list(self._open):
            if (piece := self._element(group)) is not None:
                self._open.remove(group)
                self._open.append(group)  # others have their turn
                return piece
        if self._open or self._end is None:
            return EMPTY if self._open else END
        if self._end.poll() is EMPTY:
            return EMPTY
        self._end = None
        return self._fresh(self.response) or END

    def _element(self, group: list[str]) -> Piece | None:
        """One element of each stream of a group, if all are there."""
        for name in group:
            if name not in self._half:
                found = self._readers[name].poll()
                if found is END:
                    self._open.remove(group)
                    return None
                if found is EMPTY:
                    return None
                self._half[name] = found
        return {name: self._half.pop(name) for name in group}

    def _fresh(self, names: Iterable[str]) -> Piece:
        """Those outputs that were not told."""
        names = [name for name in names if name not in self._told]
        self._told.update(names)
        return {name: self.response[name] for name in names}

    def when_ready(self, call: Callable[[], object]) -> None:
        """Call when `take` may have something new; perhaps more than once."""
        waiting = [name for group in self._open for name in group if name not in self._half]
        for name in waiting:
            self._readers[name].when_ready(call)
        if not waiting and self._end is not None:
            self._end.when_ready(call)

    def close(self) -> None:
        """Cancel the request unless it has ended."""
        self._open, self._end = [], None
        self.response.close()

    # ---- threads

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> Piece:
        while (piece := self.take()) is EMPTY:
            event = threading.Event()
            self.when_ready(event.set)
            event.wait()
        if piece is END:
            raise StopIteration
        return cast(Piece, piece)

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- asyncio

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> Piece:
        while (piece := self.take()) is EMPTY:
            await ready(self.when_ready)
        if piece is END:
            raise StopAsyncIteration
        return cast(Piece, piece)


class AsyncPieces(AsyncIterator[Piece]):
    """Pieces of a request that starts with the first of them. Closing it, or cancelling its task, cancels that."""

    def __init__(self, start: Callable[[], Awaitable[Response]], groups: dict[str, int]) -> None:
        self._start = start
        self._groups = groups
        self._pieces: Pieces | None = None

    async def __anext__(self) -> Piece:
        if self._pieces is None:
            self._pieces = Pieces(cast(StreamResponse, await self._start()), self._groups)
        try:
            return await anext(self._pieces)
        except asyncio.CancelledError:
            self._pieces.close()
            raise

    @property
    def response(self) -> StreamResponse:
        """The answer so far, once the first piece has come. RuntimeError before."""
        if self._pieces is None:
            raise RuntimeError("the request starts with its first piece")
        return self._pieces.response

    async def aclose(self) -> None:
        """Cancel the request unless it has ended."""
        if self._pieces is not None:
            self._pieces.close()

    async def __aenter__(self) -> AsyncPieces:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
