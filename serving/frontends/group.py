"""All frontends of a server, as one listener: started, watched, started again when they die, drained.

start -> N processes, all listening -> (one dies -> its requests are cancelled -> back-off -> a new one) -> stop
"""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from backends.ipc.restarts import RestartPolicy
from backends.ipc.spawn import how_it_ended, kill_group, spawn
from serving.grpc.options import GrpcOptions
from serving.http.options import HttpOptions
from serving.operations import Operations
from serving.server import BindError

from .desk import Desk, ListenError
from .messages import Start, Stop
from .metrics import FrontendFigures, rendered
from .ports import Port

MODULE = "serving.frontends.main"
PATIENCE = 60.0
"""Seconds a frontend gets until its ports answer."""
SPARE = 2.0
"""Seconds beyond the grace until a frontend that does not end is killed."""
_STDERR = 2

_log = logging.getLogger("pipectl")


@dataclass(slots=True)
class _Frontend:
    """One place in the group, whichever process fills it."""

    index: int
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    process: subprocess.Popen[bytes] | None = None
    desk: Desk | None = None
    starts: int = 0
    calls: int = 0
    """Of processes that ended."""


class FrontendGroup:
    """A listener of the parent. `ports` come before it among the listeners, so that their numbers are known."""

    def __init__(
        self,
        operations: Operations,
        count: int,
        grpc: tuple[Port, GrpcOptions] | None,
        http: tuple[Port, HttpOptions] | None,
        tokens: Path | None = None,
    ) -> None:
        """`tokens`: path of the token file, which each frontend reads; the parent has read it before."""
        self._of = operations
        self._grpc = grpc
        self._http = http
        self._tokens = tokens
        self._all = [_Frontend(index) for index in range(count)]
        self._watchers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._changing = False

    @property
    def name(self) -> str:
        return f"{len(self._all)} {'frontend' if len(self._all) == 1 else 'frontends'}"

    @property
    def address(self) -> str:
        pids = ", ".join(str(f.process.pid) for f in self._all if f.process is not None)
        return f"these ports, processes {pids}"

    @property
    def pids(self) -> Sequence[int]:
        """Of the processes that run."""
        return [f.process.pid for f in self._all if f.process is not None]

    # ---- life

    async def start(self) -> None:
        """All of them listen. BindError if one can not; then none is left."""
        self._of.repository.on_change.append(self._changed)
        self._of.metrics.further.append(self._metrics)
        try:
            for frontend in self._all:
                self._spawn(frontend)
            async with asyncio.timeout(PATIENCE):
                for frontend in self._all:
                    assert frontend.desk is not None
                    await asyncio.shield(frontend.desk.listening)
        except (ListenError, OSError) as error:  # TimeoutError is one
            await self.stop(0)
            raise BindError(str(error) or f"the frontends did not listen within {PATIENCE:g} s") from None
        self._watchers = [asyncio.create_task(self._watch(frontend)) for frontend in self._all]

    async def stop(self, grace: float) -> None:
        """Take nothing new; what is under way gets `grace` seconds."""
        self._stopping = True
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        if self._changed in self._of.repository.on_change:
            self._of.repository.on_change.remove(self._changed)
            self._of.metrics.further.remove(self._metrics)
        await asyncio.gather(*[self._end(frontend, grace) for frontend in self._all])

    def _spawn(self, frontend: _Frontend) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                frontend.process = spawn(MODULE, theirs.fileno(), _STDERR, 1)
            except BaseException:
                ours.close()
                raise
        frontend.starts += 1
        frontend.desk = desk = Desk(self._of, ours)
        # A failure nobody waits for, because another frontend failed before, is no loose end.
        desk.listening.add_done_callback(lambda done: done.cancelled() or done.exception())
        desk.link.post(self._settings())
        desk.show()

    def _settings(self) -> Start:
        grpc = http = None
        if self._grpc is not None:
            port, given = self._grpc
            grpc = replace(given, address=port.address, reuse_port=True)
        if self._http is not None:
            port, asked = self._http
            http = replace(asked, port=port.port, reuse_port=True)
        return Start(self._of.options, self._tokens, grpc, http)

    async def _watch(self, frontend: _Frontend) -> None:
        """Keep the place filled until the group stops."""
        while True:
            assert frontend.desk is not None
            await frontend.desk.gone.wait()
            if frontend.desk.calls:
                frontend.policy.answered()
            how = "was not started" if frontend.process is None else await self._reap(frontend)
            pause = frontend.policy.died(time.monotonic())
            _log.error("frontend %d %s; another one is started in %.1f s", frontend.index, how, pause)
            await asyncio.sleep(pause)
            try:
                self._spawn(frontend)
            except OSError as error:
                _log.error("frontend %d was not started: %s", frontend.index, error)

    async def _end(self, frontend: _Frontend, grace: float) -> None:
        desk = frontend.desk
        if desk is None or frontend.process is None:
            return
        if not desk.gone.is_set():
            try:
                async with asyncio.timeout(grace):
                    await desk.idle()
            except TimeoutError:
                pass  # what is still under way is cancelled with the frontend
            desk.link.post(Stop(grace))
            try:
                async with asyncio.timeout(grace + SPARE):
                    await desk.gone.wait()
            except TimeoutError:
                _log.warning("frontend %d did not end; it is killed", frontend.index)
        await self._reap(frontend)

    async def _reap(self, frontend: _Frontend) -> str:
        """Leave nothing of a frontend; how its process ended."""
        process, desk = frontend.process, frontend.desk
        assert process is not None
        assert desk is not None
        desk.close()
        try:
            async with asyncio.timeout(SPARE):
                code = await asyncio.to_thread(process.wait, SPARE)
        except (TimeoutError, subprocess.TimeoutExpired):
            kill_group(process.pid)
            code = await asyncio.to_thread(process.wait)
        frontend.calls += desk.calls
        desk.calls = 0
        frontend.process = None
        return how_it_ended(code)

    # ---- news

    def _changed(self) -> None:
        """What is served has changed: tell it once the change is complete."""
        if not self._changing:
            self._changing = True
            asyncio.get_running_loop().call_soon(self._show)

    def _show(self) -> None:
        self._changing = False
        for frontend in self._all:
            if frontend.desk is not None and not frontend.desk.gone.is_set():
                frontend.desk.show()

    def _metrics(self) -> str:
        return rendered([_figures(frontend) for frontend in self._all])


def _figures(frontend: _Frontend) -> FrontendFigures:
    desk = frontend.desk
    alive = desk is not None and not desk.gone.is_set()
    now = 0 if desk is None else desk.calls
    connections = desk.connections if desk is not None and alive else 0
    return FrontendFigures(frontend.index, frontend.calls + now, connections, max(0, frontend.starts - 1))
