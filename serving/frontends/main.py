"""A frontend: `python -m serving.frontends.main FD` listens where its parent says, and asks it everything.

FD is its end of a socket pair. It ends when that closes, and at the latest when its parent dies.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import socket
import sys
from typing import Any

from backends.ipc.lifeline import die_with_parent, leave_signals_to_parent
from serving.access import Access, AccessError
from serving.loop import loop_factory
from serving.server import BindError

from .link import Link
from .messages import FromParent, Listening, Refused, Seen, Start, Stop, from_parent
from .remote import Remote, RemoteFront
from .remote_repository import Readiness, RemoteRepository

LOOK = 1.0
"""Seconds between two counts of connections."""
_BIND = (BindError, AccessError)


def main() -> None:
    """Serve for the parent at the descriptor that is the first argument."""
    die_with_parent()
    leave_signals_to_parent()
    faulthandler.enable()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("pipectl").setLevel(logging.INFO)
    os.set_inheritable(fd := int(sys.argv[1]), False)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(socket.socket(fileno=fd)))


async def _serve(sock: socket.socket) -> None:
    frontend = Frontend(sock)
    start = await frontend.start
    watching = asyncio.create_task(_watch(frontend))
    try:
        await frontend.listen(start)
        grace = await frontend.stop
        for listener in frontend.listeners:
            await listener.stop(grace)
        await frontend.link.sent()
    except _BIND as error:
        frontend.link.post(Refused(str(error)))
        await frontend.link.sent()
    finally:
        watching.cancel()
        frontend.ending = True
        frontend.link.close()


async def _watch(frontend: Frontend) -> None:
    """Tell how many connections are open, when that has changed."""
    told = 0
    while True:
        await asyncio.sleep(LOOK)
        now = sum(listener.connections for listener in frontend.listeners)
        if now != told:
            told = now
            frontend.link.post(Seen(now))


class Frontend:
    """The link, and the ports once the parent has said which."""

    def __init__(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.start: asyncio.Future[Start] = loop.create_future()
        self.stop: asyncio.Future[float] = loop.create_future()
        self.ending = False
        self.link = Link(sock, from_parent, self._take, self._gone)
        self.listeners: list[Any] = []
        self._repository = RemoteRepository()
        self._remote = Remote(self.link, self._repository)

    async def listen(self, start: Start) -> None:
        """Open the ports. BindError or AccessError if that is not possible."""
        access = Access(start.tokens)
        front = RemoteFront(start.options, access, self._repository, Readiness(self._repository), self._remote)
        if start.grpc is not None:
            from serving.grpc.server import GrpcServer

            self.listeners.append(GrpcServer(front, start.grpc, self._remote.ask_grpc))
        if start.http is not None:
            from serving.http.app import HttpApp
            from serving.http.listener import HttpListener

            self.listeners.append(HttpListener(HttpApp(front, ask=self._remote.ask_http), start.http))
        for listener in self.listeners:
            await listener.start()
        self.link.post(Listening())

    def _take(self, message: FromParent) -> None:
        match message:
            case Start():
                self.start.set_result(message)
            case Stop():
                self.stop.set_result(message.grace)
            case _:
                self._remote.take(message)

    def _gone(self) -> None:
        """The parent is gone: nobody is left to answer."""
        if not self.ending:
            os._exit(1)


if __name__ == "__main__":
    main()
