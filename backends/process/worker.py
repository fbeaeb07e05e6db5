"""One child process seen from its parent: start it, ask it, hear its output, end it.

Made on the supervisor's thread, which alone watches and reaps it. `ask` is called from one other thread at a time.
The child leads a session and process group of its own: Ctrl-C in a terminal does not reach it before the parent has
drained, and what it started ends with it.
"""

from __future__ import annotations

import logging
import mmap
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from backends.base import InstanceConfig
from backends.ipc.channel import Channel, Closed, Unread
from backends.ipc.segments import Arena, Attached, Opened
from backends.ipc.spawn import how_it_ended, kill_group, spawn

from .messages import Reply, Request, Start, decode_reply, encode
from .output import Output

CHILD = "backends.process.child"

TICK_MS = 50
"""How often a waiting `ask` looks whether its batch was cancelled."""


class Gone(Exception):
    """The process ended, or can no longer be understood."""


class NeverBegan(Gone):
    """The process ended before it read the request: nothing of it was done."""


class Late(Exception):
    """No answer in time; the process was killed."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a child is to load, and where the lines it writes go."""

    name: str
    """Of the stage."""
    stage: bytes
    loader: str
    config: InstanceConfig
    output: Callable[[str], None]


class Worker:
    """A running child. `ended` is its end in words, once it is reaped."""

    def __init__(self, launch: Launch, warm: bool) -> None:
        """Start the process and send it what to load. OSError if the system refuses."""
        self._launch = launch
        self.inputs = Arena()
        self.outputs = Attached()
        self.control = mmap.mmap(-1, 1)
        self.ended = ""
        self.in_use = threading.Lock()
        """Held while a batch uses it; `dispose` waits for that."""
        self._reaped = False
        self._ending = threading.Lock()
        self._start()
        try:
            self._send_start(warm)
        except Closed:
            pass  # `watch` sees it end
        except BaseException:
            self.kill()
            self.watch()
            self.dispose()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _start(self) -> None:
        with ExitStack() as undo, ExitStack() as theirs:
            ours, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            theirs.callback(child_end.close)
            undo.callback(ours.close)
            read_end, write_end = os.pipe()
            theirs.callback(os.close, write_end)
            undo.callback(os.close, read_end)
            self._process = spawn(CHILD, child_end.fileno(), write_end, self._launch.config.threads)
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            self._pidfd = os.pidfd_open(self._process.pid)
            undo.pop_all()
        self.output = Output(read_end, self._launch.name, self._launch.output)
        self._channel = Channel(ours)
        self._answers = select.poll()
        self._answers.register(ours, select.POLLIN)
        self._answers.register(self._pidfd, select.POLLIN)

    def _send_start(self, warm: bool) -> None:
        launch = self._launch
        fd = os.memfd_create("pipectl", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            self.control = mmap.mmap(fd, mmap.PAGESIZE)
            start = Start(
                launch.stage,
                launch.loader,
                [path or os.getcwd() for path in sys.path],
                os.environ.get("PYTHONPATH"),
                logging.getLogger().level,
                launch.config.index,
                launch.config.device,
                launch.config.threads,
                warm,
                Opened(0, mmap.PAGESIZE),
            )
            self._channel.send(encode(start), [fd])
        finally:
            os.close(fd)

    # ---- asked by the instance

    def is_gone(self) -> bool:
        """Whether the process has ended, reaped or not."""
        if self._reaped:
            return True
        with self._ending:
            return self._reaped or _is_readable(self._pidfd)

    def ask(
        self, request: Request, fds: list[int], until_ns: int | None, on_tick: Callable[[], None]
    ) -> tuple[Reply, list[int]]:
        """The answer, and the descriptors that came with it. Gone if the process ends first, NeverBegan if before it
        read the request; Late (and the process is killed) past `until_ns`. If the wait is broken off otherwise, the
        process is killed as well."""
        try:
            self._channel.send(encode(request), fds)
            self._wait(until_ns, on_tick)
            return self._receive()
        except Unread as error:
            raise NeverBegan(str(error)) from None
        except Closed as error:
            raise Gone(str(error)) from None
        except (Gone, Late):
            raise
        except BaseException:
            self.kill()  # its answer would be taken for that of the next batch
            raise

    def _wait(self, until_ns: int | None, on_tick: Callable[[], None]) -> None:
        while True:
            ready = self._answers.poll(_patience(until_ns))
            if any(fd == self._channel.fileno() for fd, _ in ready):
                return
            if ready:
                raise Gone("the process ended")
            if until_ns is not None and time.monotonic_ns() >= until_ns:
                self.kill()
                raise Late
            on_tick()

    def _receive(self) -> tuple[Reply, list[int]]:
        data, fds = self._channel.receive()
        try:
            return decode_reply(data), fds
        except msgspec.DecodeError as error:
            for fd in fds:
                os.close(fd)
            self.kill()  # its memory is damaged
            raise Closed(f"its answer can not be read: {error}") from None

    # ---- watched by the supervisor

    def first_answer(self) -> Reply | None:
        """What loading came to; None if the process ended without a word."""
        poll = select.poll()
        for fd in (self._channel.fileno(), self._pidfd, self.output.fd):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.output.fd in ready and not self.output.hear():
                poll.unregister(self.output.fd)
            try:
                if self._channel.fileno() in ready:
                    return self._receive()[0]
            except Closed:
                return None
            if self._pidfd in ready:
                return None

    def watch(self) -> None:
        """Pass its output on until it has ended and is reaped."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        poll.register(self.output.fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.output.fd in ready and not self.output.hear():
                poll.unregister(self.output.fd)
            if self._pidfd in ready:
                return self._reap()

    def _reap(self) -> None:
        """Collect the exit code; what the process started and left in its group ends too."""
        with self._ending:
            kill_group(self.pid)  # the number is ours until the process is reaped
            code = self._process.wait()
            self._reaped = True
        while _is_readable(self.output.fd) and self.output.hear():
            pass
        self.ended = how_it_ended(code)

    # ---- the end

    def stop(self, seconds: float, request: Request) -> None:
        """Ask it to end, and kill it if it has not after so long."""
        try:
            self._channel.send(encode(request))
        except Closed:
            pass  # it is ending already
        self.end_within(seconds)

    def end_within(self, seconds: float) -> None:
        """Wait so long for its end, then kill it."""
        with self._ending:
            if self._reaped:
                return
            fd = os.dup(self._pidfd)
        try:
            if not _is_readable(fd, seconds * 1e3):
                self.kill()
        finally:
            os.close(fd)

    def kill(self) -> None:
        """End it and its group at once; does nothing if it has ended."""
        with self._ending:
            if not self._reaped:
                kill_group(self.pid)

    def dispose(self) -> None:
        """Give back what the parent held for it, after `watch`. Arrays handed out stay valid."""
        with self.in_use:
            self._channel.close()
            self.output.close()
            os.close(self._pidfd)
            self.control.close()
            self.inputs.close()
            self.outputs.close()


def _is_readable(fd: int, patience_ms: float = 0) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(patience_ms))


def _patience(until_ns: int | None) -> float:
    """Milliseconds to wait before the next look, rounded up so that the last look is not early."""
    if until_ns is None:
        return TICK_MS
    left = (until_ns - time.monotonic_ns()) / 1e6
    return max(0.0, min(TICK_MS, left + 1))
