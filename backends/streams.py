"""What a `stream T` is at run time: elements on their way from one producer to readers with cursors of their own.

    producer --put--> ElementStream (bounded) --Reader--> a stage's loop, a thread, a task, another step

The buffer holds what the slowest reader has not had yet. `credit` says whether the producer may make more: it is gone
at `elements` elements or `nbytes` bytes, and back at half of that. A producer without credit is parked by whoever
advances it and woken through `when_credit`; nothing here waits but a reader that iterates. There is one lock for each
stream and no thread. Callbacks are called without it, each at most once, and must not block.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from .values import Value

ELEMENTS = 64
"""Elements that may wait for the slowest reader."""
BYTES = 1 << 20
"""Bytes of them."""

Call = Callable[[], object]
Outcome = Callable[[BaseException | None], object]


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


EMPTY: Final = _Marker("EMPTY")
"""`poll`: nothing is there yet."""
END: Final = _Marker("END")
"""`poll`: the stream has ended and all of it was read."""


class _Cursor:
    """Where a reader is: the number of the element it reads next."""

    __slots__ = ("at", "waiter")

    def __init__(self, at: int) -> None:
        self.at = at
        self.waiter: Call | None = None


class ElementStream:
    """One stream. Thread-safe; `put`, `end` and `fail` come from one producer."""

    __slots__ = (
        *("__weakref__", "_base", "_buffer", "_bytes", "_cursors", "_elements", "_ended", "_error", "_later"),
        *("_limit", "_lock", "_on_begin", "_on_credit", "_on_end", "_on_unread", "count"),
    )

    def __init__(
        self, elements: int = ELEMENTS, nbytes: int = BYTES, later: Callable[[Call], object] | None = None
    ) -> None:
        """`later` runs a call on another thread: what a reader that was dropped unread leaves to do."""
        self._elements = elements
        self._limit = nbytes
        self._later = later
        self._lock = threading.RLock()  # a reader may be collected, and so closed, inside of a section
        self._buffer: deque[tuple[Value, int]] = deque()
        self._base = 0
        self._bytes = 0
        self._cursors: set[_Cursor] = set()
        self._ended = False
        self._error: BaseException | None = None
        self._on_credit: Call | None = None
        self._on_unread: Call | None = None
        self._on_begin: list[Outcome] = []
        self._on_end: list[Outcome] = []
        self.count = 0
        """Elements put so far."""

    @staticmethod
    def of(elements: Iterable[tuple[Value, int]]) -> ElementStream:
        """A stream that has ended, of values with their bytes."""
        made = ElementStream()
        made._buffer.extend(elements)
        made.count = len(made._buffer)
        made._bytes = sum(size for _, size in made._buffer)
        made._ended = True
        return made

    def __repr__(self) -> str:
        state = "open" if not self._ended else "ended" if self._error is None else "failed"
        return f"ElementStream({state}, {self.count} elements, {len(self._buffer)} wait)"

    @property
    def waiting(self) -> int:
        """Elements that the slowest reader has not had."""
        return len(self._buffer)

    @property
    def ended(self) -> bool:
        """No further element comes."""
        return self._ended

    @property
    def readers(self) -> int:
        """Readers that are open."""
        return len(self._cursors)

    # ---- the producer

    @property
    def credit(self) -> bool:
        """Whether another element may be made now. Without readers there is nothing to wait for."""
        return not self._cursors or (len(self._buffer) < self._elements and self._bytes < self._limit)

    def put(self, value: Value, nbytes: int) -> bool:
        """Add an element; whether there is credit for another. False too once it has ended: nobody wants it."""
        with self._lock:
            if self._ended:
                return False
            self.count += 1
            self._buffer.append((value, nbytes))
            self._bytes += nbytes
            if not self._cursors:
                self._trim()
            woken = self._wake()
            begun, self._on_begin = self._on_begin, []
            more = self.credit
        for tell in begun:
            tell(None)
        _run(woken)
        return more

    def end(self) -> None:
        """No further element comes. Later calls do nothing."""
        self._close(None, drop=False)

    def fail(self, error: BaseException, *, drop: bool = False) -> None:
        """End with an error, which readers get behind the elements that wait, or with `drop` instead of them."""
        self._close(error, drop=drop)

    def _close(self, error: BaseException | None, *, drop: bool) -> None:
        with self._lock:
            dropped = drop and self._drop()
            if self._ended:
                if dropped and self._error is None:
                    self._error = error  # a reader that lost elements must not take this for the end
                return
            self._ended = True
            self._error = error
            self._on_credit = self._on_unread = None
            told = [*self._on_begin, *self._on_end]
            self._on_begin, self._on_end = [], []
            woken = self._wake()
        for tell in told:
            tell(error)
        _run(woken)

    def when_credit(self, call: Call) -> None:
        """Call once when there is credit again, or no reader is left; at once if that is so. It has one caller."""
        with self._lock:
            if self._ended:
                return
            if not self.credit:
                self._on_credit = call
                return
        call()

    def when_unread(self, call: Call) -> None:
        """Call once when the last reader is closed; at once if there is none. A later call replaces one before it."""
        with self._lock:
            if self._cursors and not self._ended:
                self._on_unread = call
                return
        call()

    def when_begun(self, call: Outcome) -> None:
        """Call once with None when it has its first element or has ended well, else with its error; perhaps at once."""
        with self._lock:
            if not self._ended and not self.count:
                self._on_begin.append(call)
                return
        call(None if self.count else self._error)

    def when_ended(self, call: Outcome) -> None:
        """Call once with its error, or None, when the producer has ended it; at once if it has."""
        with self._lock:
            if not self._ended:
                self._on_end.append(call)
                return
        call(self._error)

    # ---- readers

    def reader(self) -> Reader:
        """A further reader. It begins with the oldest element that is still here."""
        return Reader(self, self._open(self._base))

    def _open(self, at: int) -> _Cursor:
        with self._lock:
            cursor = _Cursor(max(at, self._base))
            self._cursors.add(cursor)
        return cursor

    def _shut(self, cursor: _Cursor) -> None:
        with self._lock:
            cursor.waiter = None
            if cursor not in self._cursors:
                return
            self._cursors.discard(cursor)
            calls = self._trim()
            if not self._cursors and self._on_unread is not None:
                calls.append(self._on_unread)
                self._on_unread = None
        _run(calls)

    def _read(self, cursor: _Cursor, most: int) -> tuple[list[Value], bool]:
        """What is there for a reader, and whether no more comes behind it."""
        with self._lock:
            if cursor not in self._cursors:
                return [], True
            start = cursor.at - self._base
            stop = min(len(self._buffer), start + most)
            found = [self._buffer[i][0] for i in range(start, stop)]
            cursor.at += len(found)
            credit = self._trim() if found else []
            last = self._ended and cursor.at == self._base + len(self._buffer)
        _run(credit)
        return found, last

    def _wait(self, cursor: _Cursor, call: Call) -> None:
        with self._lock:
            there = self._ended or cursor not in self._cursors or cursor.at < self._base + len(self._buffer)
            cursor.waiter = None if there else call
        if there:
            call()

    # ---- (locked)

    def _drop(self) -> bool:
        """Forget all that waits; whether a reader would have read some of it."""
        had = bool(self._buffer)
        self._base += len(self._buffer)
        self._buffer.clear()
        self._bytes = 0
        for cursor in self._cursors:
            cursor.at = self._base
        return had

    def _wake(self) -> list[Call]:
        """The callbacks of readers that have something to read now."""
        last = self._base + len(self._buffer)
        woken = []
        for cursor in self._cursors:
            if cursor.waiter is not None and (self._ended or cursor.at < last):
                woken.append(cursor.waiter)
                cursor.waiter = None
        return woken

    def _trim(self) -> list[Call]:
        """Forget what all readers have had; the producer's callback, if its credit is back."""
        last = self._base + len(self._buffer)
        lowest = min([cursor.at for cursor in self._cursors], default=last)
        while self._buffer and self._base < lowest:
            self._bytes -= self._buffer.popleft()[1]
            self._base += 1
        if self._on_credit is None:
            return []
        low = len(self._buffer) <= self._elements // 2 and self._bytes <= self._limit // 2
        if self._cursors and not (low and self.credit):
            return []
        call, self._on_credit = self._on_credit, None
        return [call]


class Reader:
    """One reader's view of a stream: an iterator, an async iterator, or `poll` with `when_ready`.

    Used by one consumer at a time. One that nobody holds any more is closed."""

    __slots__ = ("_cursor", "stream")

    def __init__(self, stream: ElementStream, cursor: _Cursor) -> None:
        """Made by `ElementStream.reader` and `fork`."""
        self.stream = stream
        self._cursor = cursor

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.stream!r})"

    def fork(self) -> Reader:
        """A further reader that begins where this one is."""
        return Reader(self.stream, self.stream._open(self._cursor.at))

    def poll(self) -> Any:
        """The next element, EMPTY or END; raises what the stream failed with, once all before it was read."""
        found, last = self.stream._read(self._cursor, 1)
        if found:
            return found[0]
        if not last:
            return EMPTY
        self._raise()
        return END

    def take(self, most: int = 1 << 30) -> list[Value]:
        """All that is there, at most `most`; raises what the stream failed with once nothing else is left."""
        found, last = self.stream._read(self._cursor, most)
        if not found and last:
            self._raise()
        return found

    @property
    def ready(self) -> bool:
        """There is something to read: an element, the end, an error."""
        stream, cursor = self.stream, self._cursor
        with stream._lock:
            there = stream._ended or cursor.at < stream._base + len(stream._buffer)
            return there or cursor not in stream._cursors

    @property
    def exhausted(self) -> bool:
        """All of it was read and no more comes, or it is closed."""
        stream = self.stream
        with stream._lock:
            over = stream._ended and self._cursor.at == stream._base + len(stream._buffer)
            return over or self._cursor not in stream._cursors

    def when_ready(self, call: Call) -> None:
        """Call once when there is something to read: an element, the end, an error; at once if there is.

        A later call replaces one that was not called yet."""
        self.stream._wait(self._cursor, call)

    def close(self) -> None:
        """Read no more; what only this reader held back is forgotten. May be called again."""
        self.stream._shut(self._cursor)

    def _raise(self) -> None:
        error = self.stream._error
        if error is not None and self._cursor in self.stream._cursors:
            raise error

    # ---- threads

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> Value:
        """The next element; waits for it."""
        while (found := self.poll()) is EMPTY:
            event = threading.Event()
            self.when_ready(event.set)
            event.wait()
        if found is END:
            raise StopIteration
        return found

    # ---- asyncio

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> Value:
        while (found := self.poll()) is EMPTY:
            await ready(self.when_ready)
        if found is END:
            raise StopAsyncIteration
        return found

    def __del__(self) -> None:
        cursor, stream = self._cursor, self.stream
        if cursor not in stream._cursors:
            return
        if stream._later is None:
            stream._shut(cursor)
        else:  # whoever drops it may hold any lock
            stream._later(lambda: stream._shut(cursor))


async def ready(when_ready: Callable[[Call], object]) -> None:
    """Wait, in a task, for the callback that `when_ready` takes: there is something to read."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_done, future)

    when_ready(wake)
    await future


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _run(calls: Iterable[Call]) -> None:
    for call in calls:
        call()
