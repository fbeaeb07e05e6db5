"""The HTTP port: uvicorn on the server's own event loop, with this package's connections and limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from serving.server import BindError

from .connection import connections
from .options import HttpOptions


class _Uvicorn(uvicorn.Server):
    """A server whose signals are somebody else's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpListener:
    """One ASGI app on one address."""

    def __init__(self, app: Callable[..., Any], options: HttpOptions | None = None, name: str = "HTTP") -> None:
        self.name = name
        self._app = app
        self._options = options or HttpOptions()
        self._socket: socket.socket | None = None
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, with the port it got."""
        port = self._options.port if self._socket is None else self._socket.getsockname()[1]
        host = self._options.host
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def port(self) -> int:
        return self._options.port if self._socket is None else int(self._socket.getsockname()[1])

    @property
    def connections(self) -> int:
        """Those that are open."""
        return 0 if self._server is None else len(self._server.server_state.connections)

    async def start(self) -> None:
        """Bind and answer. BindError if the address is taken or none, or a certificate can not be read."""
        self._socket = self._bound()
        try:
            config = self._config()
            config.load()
        except OSError as error:  # ssl.SSLError is one
            self._socket.close()
            raise BindError(f"{self.name} can not use its certificate: {error}") from None
        self._server = _Uvicorn(config)
        self._task = asyncio.get_running_loop().create_task(self._server.serve([self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise BindError(f"{self.name} did not start at {self.address}")
            await asyncio.sleep(0)

    async def stop(self, grace: float) -> None:
        """Take no new connection; requests under way get `grace` seconds."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # it takes fractions too
        self._server.should_exit = True
        await self._task
        self._server = self._task = None

    def _bound(self) -> socket.socket:
        options = self._options
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if options.reuse_port:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind((options.host, options.port))
        except (OSError, OverflowError) as error:
            made.close()
            raise BindError(f"{self.name} can not listen at {self.address}: {error}") from None
        return made

    def _config(self) -> uvicorn.Config:
        options, tls = self._options, self._options.tls
        secured: dict[str, Any] = {}
        if tls is not None:
            secured = {"ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
            if tls.clients is not None:
                import ssl

                secured |= {"ssl_ca_certs": str(tls.clients), "ssl_cert_reqs": ssl.CERT_REQUIRED}
        return uvicorn.Config(
            self._app,
            http=connections(options.limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="critical",  # what a client does wrong is its own business; what we do wrong is logged here
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=options.backlog,
            timeout_keep_alive=int(options.limits.keep_alive_seconds),
            **secured,
        )
