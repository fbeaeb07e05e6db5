"""One end of the socket pair between a frontend and its parent, on an event loop.

    post, post, .. --next turn of the loop--> Frame (+ descriptors) --socket--> on_message, on_message, ..

Messages of one turn go out as one frame, so the other side is woken once for all of them. The socket never blocks:
while it is full messages gather, and go out together afterwards. The pair has no name in any file system.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from backends.ipc.channel import LONGEST
from backends.ipc.segments import Arena, Attached, SegmentError

from .messages import Frame, Message, encode

_log = logging.getLogger("pipectl")

_HEADER = struct.Struct("<I")
_READ = 1 << 18
_TURNS = 16
"""Reads before others on the loop have their turn."""
_MOST_FDS = 250  # the kernel passes at most 253 at a time
_FULL = 1 << 26
"""Bytes of messages from which on a frame takes no further one."""
_TICK = 0.25
"""Seconds after which regions that were read are told to be free, if no message took the news along."""


class Link:
    """Belongs to one event loop. `arena` is for what goes out, `attached` for what comes in."""

    def __init__(
        self,
        sock: socket.socket,
        decoder: msgspec.msgpack.Decoder[Any],
        on_message: Callable[[Any], None],
        on_closed: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self.arena = Arena()
        self.attached = Attached()
        self.closed = False
        self._socket = sock
        self._decoder = decoder
        self._on_message = on_message
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._pending: deque[bytes] = deque()
        self._flushing = False
        self._out: deque[tuple[memoryview, list[int]]] = deque()
        self._read = bytearray()
        self._fds: deque[int] = deque()
        self._tick: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._readable)

    # ---- out

    def post(self, message: Message) -> None:
        """Send it with the others of this turn. OverflowError or UnicodeEncodeError if it can not be a message."""
        data = encode(message)
        if len(data) > LONGEST - _FULL:
            raise OverflowError(f"{len(data)} bytes are too many for a message")
        if not self.closed:
            self._pending.append(data)
            self._soon()

    def _soon(self) -> None:
        if not self._flushing and not self._out:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self.closed or self._out:
            return
        opened, dropped, fds = self.arena.news()
        messages: list[msgspec.Raw] = []
        size = 0
        while self._pending and size < _FULL:
            size += len(self._pending[0])
            messages.append(msgspec.Raw(self._pending.popleft()))
        frame = Frame(messages, opened[:_MOST_FDS], dropped, self.attached.take_freed())
        # Regions of a message may lie in any of the new segments: those beyond one frame's go before it.
        for start in range(_MOST_FDS, len(opened), _MOST_FDS):
            self._frame(Frame([], opened[start : start + _MOST_FDS], [], []), fds[start : start + _MOST_FDS])
        self._frame(frame, fds[:_MOST_FDS])
        self._write()
        if self._pending:
            self._soon()

    def _frame(self, frame: Frame, fds: list[int]) -> None:
        data = encode(frame)
        self._out.append((memoryview(_HEADER.pack(len(data)) + data), fds))

    def _write(self) -> None:
        while self._out:
            view, fds = self._out[0]
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            try:
                sent = self._socket.sendmsg([view], rights)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._socket.fileno(), self._writable)
                return
            except OSError:
                self.close()
                return
            _close(fds)
            if sent == len(view):
                self._out.popleft()
            else:
                self._out[0] = (view[sent:], [])

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._write()
        if not self._out and self._pending:
            self._soon()

    # ---- in

    def _readable(self) -> None:
        for _ in range(_TURNS):
            try:
                data, controls, flags, _address = self._socket.recvmsg(
                    _READ, socket.CMSG_SPACE(4 * _MOST_FDS), socket.MSG_CMSG_CLOEXEC
                )
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
                return
            for level, kind, payload in controls:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self._fds.extend(array.array("i", payload[: len(payload) - len(payload) % 4]))
            if not data or flags & socket.MSG_CTRUNC:
                self.close()
                return
            self._read += data
            try:
                self._frames()
            except (msgspec.DecodeError, SegmentError, ValueError):  # the other side's memory is damaged
                self.close()
            except Exception:  # a mistake of ours; half a frame taken is a link that nobody may wait on
                _log.exception("a message between a frontend and its parent could not be taken")
                self.close()
            if self.closed:
                return

    def _frames(self) -> None:
        """Hand on what came whole."""
        start, size = 0, len(self._read)
        while size - start >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._read, start)
            if length > LONGEST:
                raise ValueError("a frame is too long")
            end = start + _HEADER.size + length
            if end > size:
                break
            # A decoded message may hold views of nothing: msgspec copies bytes out, so the buffer can be cut.
            with memoryview(self._read)[start + _HEADER.size : end] as view:
                frame: Frame = self._decoder.decode(view)
            start = end
            self._take(frame)
            if self.closed:
                return
        if start:
            del self._read[:start]

    def _take(self, frame: Frame) -> None:
        fds = [self._fds.popleft() for _ in range(min(len(frame.opened), len(self._fds)))]
        self.attached.attach(frame.opened, fds)
        for region in frame.freed:
            self.arena.release(region)
        for message in frame.messages:
            self._on_message(message)
        self.attached.detach(frame.dropped)
        if self._tick is None and not self.closed:
            self._tick = self._loop.call_later(_TICK, self._ticked)

    def _ticked(self) -> None:
        """Regions whose arrays died since the last message are told to be free."""
        self._tick = None
        if self.closed:
            return
        if self.attached.freed:
            self._soon()
        if self.attached.held:
            self._tick = self._loop.call_later(_TICK, self._ticked)

    # ---- end

    async def sent(self) -> None:
        """Return when everything posted has gone to the system, or nobody reads any more."""
        while not self.closed and (self._pending or self._out):  # noqa: ASYNC110 - rare: once, at the end
            await asyncio.sleep(0.005)

    def close(self) -> None:
        """Forget the other side. Arrays that were read stay valid."""
        if self.closed:
            return
        self.closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        if self._tick is not None:
            self._tick.cancel()
        for _, fds in self._out:
            _close(fds)
        self._out.clear()
        self._pending.clear()
        _close(self._fds)
        self._fds.clear()
        self.arena.close()
        self.attached.close()
        self._on_closed()


def _close(fds: Sequence[int] | deque[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
