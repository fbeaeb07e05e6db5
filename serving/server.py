"""A whole server: listeners of protocols around one set of operations, from the first bind to the last answer.

    bind -> load (alive, not ready) -> ready -> signal -> not ready, `drain_delay` -> refuse, drain -> stop

Listeners are bound before anything is loaded: a port that is taken is known at once, and probes find a live server
that is not ready yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from .operations import Operations

_log = logging.getLogger("pipectl")


class Listener(Protocol):
    """One protocol on one address."""

    @property
    def name(self) -> str:
        """What it speaks: `gRPC`."""

    @property
    def address(self) -> str:
        """Where it listens, as HOST:PORT with the port it got."""

    async def start(self) -> None:
        """Bind and answer. BindError if that is not possible."""

    async def stop(self, grace: float) -> None:
        """Take nothing new; what is under way gets `grace` seconds. May be called without `start`."""


class BindError(OSError):
    """An address that can not be listened at; the message says which and why."""


class Server:
    """Starts and ends everything in order. Belongs to one event loop."""

    def __init__(self, operations: Operations, listeners: Sequence[Listener]) -> None:
        self.operations = operations
        self.listeners = tuple(listeners)
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()
        self._patient = True

    async def start(self) -> None:
        """Listen, then load. What fails is raised, with nothing left running."""
        options = self.operations.options
        try:
            for listener in self.listeners:
                await listener.start()
            await self.operations.repository.start(strict=options.exit_on_error)
        except BaseException:
            await self._close(0)
            raise

    def ask_to_stop(self, *, patient: bool = True) -> None:
        """A signal came: drain; a second one ends the server at once. Patient: balancers get `drain_delay` first."""
        if self._stopping.is_set():
            self._at_once.set()
        self._patient = patient
        self._stopping.set()

    async def asked_to_stop(self) -> None:
        """Return when a signal came."""
        await self._stopping.wait()

    async def serve(self) -> bool:
        """Answer until asked to stop, then drain; whether all that was under way was answered."""
        await self._stopping.wait()
        ending = asyncio.create_task(self._end())
        hurry = asyncio.create_task(self._at_once.wait())
        await asyncio.wait([ending, hurry], return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if ending.done():
            return ending.result()
        ending.cancel()
        await asyncio.wait([ending])
        await self._close(0)
        return False

    async def _end(self) -> bool:
        options, repository = self.operations.options, self.operations.repository
        repository.leave()
        if self._patient and options.drain_delay:
            await asyncio.sleep(options.drain_delay)
        drained = await repository.drain(options.exit_timeout)
        if not drained:
            _log.warning("requests were still under way after %g s; they were ended", options.exit_timeout)
        await self._close(1.0 if drained else 0.0)
        return drained

    async def _close(self, grace: float) -> None:
        """Listeners first, so that nothing new comes to engines that end."""
        for listener in self.listeners:
            await listener.stop(grace)
        await self.operations.close()
