"""Messages with descriptors over a Unix socket: four bytes of length, then that many bytes.

One message is under way at a time in each direction; descriptors travel with its first byte.
"""

from __future__ import annotations

import array
import os
import socket
import struct

LONGEST = 1 << 30
"""Bytes of the longest message; data goes through shared memory."""

_HEADER = struct.Struct("<I")
_FIRST_READ = 1 << 16
_MOST_FDS = 250  # the kernel passes at most 253 at a time


class Closed(Exception):
    """The other side is gone, or sent something that is not a message."""


class Unread(Closed):
    """The other side ended before it read the last message to its end."""


class Channel:
    """One end of a socket pair. Blocking; `send` and `receive` release the GIL while they wait."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: bytes, fds: list[int] | None = None) -> None:
        """Send a message; the descriptors stay open here. Unread if nobody reads any more."""
        if len(message) > LONGEST:
            raise ValueError(f"a message of {len(message)} bytes is too long")
        header = _HEADER.pack(len(message))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            sent = self._socket.sendmsg([header, message], rights)
            if sent < len(header) + len(message):
                self._socket.sendall(memoryview(header + message)[sent:])
        except OSError as error:
            raise Unread(str(error)) from None

    def receive(self) -> tuple[memoryview, list[int]]:
        """The next message and the descriptors that came with it, which the caller closes. Closed at the end; Unread
        if what was sent before was not read: the system resets the connection then."""
        fds: list[int] = []
        try:
            data: bytes | bytearray = self._first(fds)
            (length,) = _HEADER.unpack_from(data)
            if length > LONGEST:
                raise Closed("a message is too long")
            if len(data) < _HEADER.size + length:
                data = self._rest(data, _HEADER.size + length)
            if len(data) != _HEADER.size + length:
                raise Closed("two messages at a time")
            return memoryview(data)[_HEADER.size :], fds
        except (Closed, OSError) as error:
            for fd in fds:
                os.close(fd)
            kind = Unread if isinstance(error, ConnectionResetError) else Closed
            raise kind(str(error)) from None

    def close(self) -> None:
        self._socket.close()

    def _first(self, fds: list[int]) -> bytes:
        data = b""
        while len(data) < _HEADER.size:
            part, controls, flags, _ = self._socket.recvmsg(
                _FIRST_READ, socket.CMSG_SPACE(4 * _MOST_FDS), socket.MSG_CMSG_CLOEXEC
            )
            for level, kind, payload in controls:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    whole = len(payload) - len(payload) % 4
                    fds.extend(array.array("i", payload[:whole]))
            if not part or flags & socket.MSG_CTRUNC:
                raise Closed("end of messages")
            data += part
        return data

    def _rest(self, data: bytes | bytearray, size: int) -> bytearray:
        whole = bytearray(size)
        whole[: len(data)] = data
        view = memoryview(whole)[len(data) :]
        while view:
            read = self._socket.recv_into(view)
            if not read:
                raise Closed("end inside a message")
            view = view[read:]
        return whole
