"""The process that serves: sources to a running server, signals to its end, and what the terminal is told.

Settings -> sources, Operations, listeners -> Server.start -> banner -> (signal) -> drained -> exit code
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_dsl.plan import Plan
from serving.access import Access, AccessError
from serving.deployment import Source
from serving.loop import loop_factory
from serving.mirror import Mirror, follow
from serving.operations import Operations, operations
from serving.repository import Repository
from serving.server import BindError, Listener, Server
from serving.sources import SourceError, sources
from serving.stores import Store
from serving.tls import Tls
from serving.watch import watch

from .app import compile as compile_plan
from .banner import banner, warnings
from .console import Exit, Session
from .errors import Hinted, OptionError
from .server_settings import Settings
from .tuning import tuned

if TYPE_CHECKING:
    from serving.grpc.options import GrpcOptions
    from serving.http.options import HttpOptions
    from serving.telemetry import Telemetry


def serve(settings: Settings, session: Session) -> Exit:
    """Until a signal. CompileError, LoadError or Hinted for what keeps it from starting."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("pipectl").setLevel(logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(settings, session))


async def _serve(settings: Settings, session: Session) -> Exit:
    for text in warnings(settings):
        session.warn(text)
    try:
        access = Access(settings.tokens)
        mirror = _mirror(settings)
    except (SourceError, AccessError) as error:
        raise OptionError(str(error)) from None
    try:
        return await _mirrored(settings, mirror, access)
    finally:
        await asyncio.to_thread(mirror.close)


async def _mirrored(settings: Settings, mirror: Mirror, access: Access) -> Exit:
    """Serve what is local, and what can be copied."""
    try:
        if not await _copied(mirror):
            return Exit.INTERRUPTED
        found = await asyncio.to_thread(_sources, settings, mirror)
    except SourceError as error:
        raise OptionError(str(error)) from None
    ops = operations(Repository(found, _compiler(settings)), settings.options(), access, _telemetry(settings))
    server = Server(ops, listeners(ops, settings))
    with _signals(server):
        async with _watching(server, settings, mirror):
            return await _started(server, settings)


async def _copied(mirror: Mirror) -> bool:
    """Copy all stores; False if a signal came before they were there."""
    copying = asyncio.create_task(asyncio.to_thread(mirror.refresh_all))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, copying.cancel)
    try:
        await copying
    except asyncio.CancelledError:
        return False
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return True


async def _started(server: Server, settings: Settings) -> Exit:
    starting = asyncio.create_task(server.start())
    stopped = asyncio.create_task(server.asked_to_stop())
    await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
    try:
        await starting
    except BindError as error:
        raise Hinted(str(error), "choose another with --grpc, --http or --metrics HOST:PORT, or none") from None
    except asyncio.CancelledError:
        return Exit.INTERRUPTED
    stopped.cancel()
    with tuned(*[d.plan for d in server.operations.repository.catalog.deployments]):
        sys.stdout.write(banner(server))
        sys.stdout.flush()
        drained = await server.serve()
    return Exit.OK if drained else Exit.TERMINATED


@asynccontextmanager
async def _watching(server: Server, settings: Settings, mirror: Mirror) -> AsyncIterator[None]:
    """With `--reload` files are watched from before they are read, so that no change is missed; stores are looked at
    every now and then."""
    if not settings.reload:
        yield
        return
    ending, turn = asyncio.Event(), asyncio.Lock()
    repository = server.operations.repository
    paths = [path for path in settings.paths if isinstance(path, Path)]
    found = partial(_sources, settings, mirror)
    tasks = []
    if paths:
        tasks.append(asyncio.create_task(watch(repository, paths, found, ending, turn)))
    if mirror.stores:
        following = follow(repository, mirror, found, settings.reload_interval, ending, turn)
        tasks.append(asyncio.create_task(following))
    await asyncio.sleep(0)  # its first step begins to watch
    try:
        yield
    finally:
        ending.set()
        await asyncio.wait(tasks)


def listeners(ops: Operations, settings: Settings) -> Sequence[Listener]:
    """One for each protocol; with frontends their ports, and the processes that listen there."""
    found: list[Listener] = []
    if settings.frontends:
        found += _frontends(ops, settings)
    else:
        if settings.grpc:
            from serving.grpc.server import GrpcServer

            found.append(GrpcServer(ops, _grpc_options(settings)))
        if settings.http:
            found.append(_http(ops, settings.http, settings, metrics_only=False))
    if settings.metrics:
        found.append(_http(ops, settings.metrics, settings, metrics_only=True))
    return found


def _frontends(ops: Operations, settings: Settings) -> list[Listener]:
    from serving.frontends.group import FrontendGroup
    from serving.frontends.ports import Port

    grpc = http = None
    if settings.grpc:
        grpc = Port("gRPC", settings.grpc, shared=settings.grpc_reuse_port), _grpc_options(settings)
    if settings.http:
        http = Port("HTTP", settings.http), _http_options(ops, settings.http, settings)
    group = FrontendGroup(ops, settings.frontends, grpc, http, settings.tokens)
    return [*(pair[0] for pair in (grpc, http) if pair is not None), group]


def _tls(settings: Settings) -> Tls | None:
    if not (settings.tls_cert and settings.tls_key):
        return None
    return Tls(settings.tls_cert, settings.tls_key, settings.tls_clients)


def _grpc_options(settings: Settings) -> GrpcOptions:
    from serving.grpc.options import GrpcOptions

    return GrpcOptions(
        address=settings.grpc,
        tls=_tls(settings),
        max_concurrent=settings.grpc_max_concurrent,
        keepalive_ms=settings.grpc_keepalive_time,
        keepalive_timeout_ms=settings.grpc_keepalive_timeout,
        keepalive_without_calls=settings.grpc_keepalive_without_calls,
        max_connection_age_ms=settings.grpc_max_connection_age,
        max_connection_grace_ms=settings.grpc_max_connection_grace,
        reuse_port=settings.grpc_reuse_port,
    )


def _http_options(ops: Operations, address: str, settings: Settings) -> HttpOptions:
    from serving.http.limits import HttpLimits
    from serving.http.options import HttpOptions

    host, _, port = address.rpartition(":")
    return HttpOptions(host.strip("[]"), int(port), _tls(settings), HttpLimits(body=ops.options.max_message))


def _http(ops: Operations, address: str, settings: Settings, *, metrics_only: bool) -> Listener:
    from serving.http.app import HttpApp, MetricsApp
    from serving.http.listener import HttpListener

    options = _http_options(ops, address, settings)
    if metrics_only:
        return HttpListener(MetricsApp(ops), options, "metrics")
    return HttpListener(HttpApp(ops), options)


def _telemetry(settings: Settings) -> Telemetry | None:
    if settings.otlp is None:
        return None
    from serving.telemetry import exporting

    try:
        return exporting(settings.otlp, settings.options().id, settings.otlp_share)
    except ImportError:
        raise OptionError("--otlp needs OpenTelemetry", "pip install 'pipectl[otel]'") from None


def _mirror(settings: Settings) -> Mirror:
    """Copies of all stores among the paths; none is made yet. SourceError for a URL that can not be used."""
    stores = [Store(path, settings.store_limit) for path in settings.paths if isinstance(path, str)]
    return Mirror(stores, lambda path: sources(path, settings.profile, settings.params))


def _sources(settings: Settings, mirror: Mirror) -> list[Source]:
    local = [path for path in settings.paths if isinstance(path, Path)]
    return [*(s for path in local for s in sources(path, settings.profile, settings.params)), *mirror.sources()]


def _compiler(settings: Settings) -> Any:
    """Compiles sources for this machine, as it is when they are loaded: `device = any` goes by what is taken then."""

    def compiled(source: Source) -> Plan:
        return compile_plan(
            source.path,
            profile=source.profile,
            params=source.params,
            device=settings.device,
            serial=settings.serial,
        )

    return compiled


class _signals:
    """SIGTERM and Ctrl-C ask the server to stop while the block runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        self._loop.add_signal_handler(signal.SIGTERM, self._server.ask_to_stop)
        self._loop.add_signal_handler(signal.SIGINT, lambda: self._server.ask_to_stop(patient=False))

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)
