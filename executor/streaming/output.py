"""A stream output as its caller reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from backends.streams import EMPTY, Reader
from backends.values import Value
from executor.errors import RequestError

if TYPE_CHECKING:
    from .answer import StreamAnswer


class NotYet(LookupError):
    """An output that comes when the streams have ended, asked for before."""


class OutputReader(Reader):
    """A stream output as its caller reads it: an iterator, or an async iterator.

    Closing it, or dropping it, before its end cancels the request, unless another of its streams is still read."""

    __slots__ = ("__weakref__", "_answer", "_error", "_held", "_inner", "_waiter", "name")

    def __init__(self, answer: StreamAnswer, name: str) -> None:
        self._answer = answer
        self.name = name
        self._inner: Reader | None = None
        self._error: RequestError | None = None
        """Why there will be no stream."""
        self._waiter: Callable[[], object] | None = None
        self._held = True

    def __repr__(self) -> str:
        return f"OutputReader({self.name} of {self._answer.request_id!r})"

    def attach(self, reader: Reader) -> None:
        """The stream exists."""
        self._inner = reader
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            reader.when_ready(waiter)

    def fail(self, error: RequestError) -> None:
        """The request has failed before the stream existed."""
        self._error = error
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter()

    def poll(self) -> Any:
        if self._inner is not None:
            return self._inner.poll()
        if self._error is not None:
            raise self._error
        return EMPTY

    def take(self, most: int = 1 << 30) -> list[Value]:
        if self._inner is not None:
            return self._inner.take(most)
        if self._error is not None:
            raise self._error
        return []

    @property
    def exhausted(self) -> bool:
        return self._inner is not None and self._inner.exhausted

    def fork(self) -> Reader:
        """Only of a stream that exists."""
        if self._inner is None:
            raise NotYet(f"stream `{self.name}` does not exist yet")
        return self._inner.fork()

    def when_ready(self, call: Callable[[], object]) -> None:
        if self._inner is not None:
            self._inner.when_ready(call)
            return
        self._waiter = call
        if self._inner is not None or self._error is not None:  # meanwhile, on another thread
            self._waiter = None
            call()

    def close(self) -> None:
        """Read no more; the request is cancelled if it has not ended and no other stream of it is read."""
        over = self.exhausted
        self._held = False
        if self._inner is not None:
            self._inner.close()
        if not over:
            self._answer.left()

    @property
    def reading(self) -> bool:
        """Somebody may still read elements."""
        return self._held and not self.exhausted

    def __del__(self) -> None:
        if getattr(self, "_held", False) and not self._answer.ended:
            inner = self._inner
            over = inner is not None and inner.stream.ended and not inner.stream.waiting
            if not over:
                self._answer.abandon()
