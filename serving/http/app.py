"""The ASGI app of a server: calls of pipelines first, everything else through Starlette's router."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from serving.front import Front
from serving.operations import Operations

from .infer import InferApp, asked
from .pages import no_page, pages, wrong_method
from .replies import Receive, Scope, Send
from .routes import METRICS_ENTRY, TABLE, Ask, routes


class HttpApp:
    """All of it. `metrics`: `/metrics` is among the routes, and not on a listener of its own.

    `ask` answers the routes of the table; without it `operations` are `Operations`, which do."""

    def __init__(self, operations: Front, *, metrics: bool = True, ask: Ask | None = None) -> None:
        self._infer = InferApp(operations)
        entries = (*TABLE, METRICS_ENTRY) if metrics else TABLE
        self._rest = Starlette(
            routes=[*routes(operations, entries, ask), *_verbs(), *pages(operations, metrics=metrics)],
            exception_handlers={404: no_page, 405: wrong_method},
        )
        self._rest.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        call = asked(scope)
        if call is None:
            await self._rest(scope, receive, send)
        else:
            await self._infer(call, scope, receive, send)


class MetricsApp:
    """`/metrics` alone, for a listener of its own."""

    def __init__(self, operations: Operations) -> None:
        self._rest = Starlette(
            routes=routes(operations, (METRICS_ENTRY,)),
            exception_handlers={404: no_page, 405: wrong_method},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._rest(scope, receive, send)


def _verbs() -> list[Route]:
    """The paths of calls, which the router sees only where the method is wrong."""
    bases = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
    return [Route(f"{base}/{verb}", _never, methods=["POST"]) for base in bases for verb in _VERBS]


_VERBS = ("infer", "generate", "generate_stream")


class _Never:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("calls are answered before the router")


_never = _Never()
