"""What a browser gets: the page at `/`, the documentation at `/docs`, their files, and the OpenAPI document.

All files come with the package; nothing is loaded from anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from serving.front import Front

from .openapi import document
from .replies import plain_error

FILES = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "graph.js": "text/javascript",
    "form.js": "text/javascript",
}
POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
HEADERS = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "cache-control": "no-cache"}


def pages(operations: Front, *, metrics: bool) -> list[BaseRoute]:
    """Routes of everything a browser asks for."""

    def described(request: Request) -> Response:
        options = operations.options
        found = document(options.id, options.version, operations.repository.catalog, metrics=metrics)
        return JSONResponse(found, headers={"cache-control": "no-cache"})

    found: list[BaseRoute] = [
        Route("/", _file("index.html", "text/html")),
        Route("/openapi.json", described),
        *(Route(f"/page/{name}", _file(name, kind)) for name, kind in FILES.items()),
    ]
    assets = swagger_files()
    if assets is not None:
        found.append(Route("/docs", _file("docs.html", "text/html")))
        found.append(Route("/page/docs.js", _file("docs.js", "text/javascript")))
        found.append(Mount("/docs/assets", StaticFiles(directory=assets)))
    return found


def swagger_files() -> Path | None:
    """The folder of Swagger UI's files, if its package is installed."""
    try:
        from swagger_ui_bundle import swagger_ui_path
    except ImportError:
        return None
    return Path(swagger_ui_path)


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = resources.files(__package__).joinpath("page", name).read_bytes()

    def answer(request: Request) -> Response:
        return Response(content, media_type=kind, headers=HEADERS)

    return answer


def no_page(request: Request, error: Exception) -> Response:
    """What the router does not know, as every error is told."""
    path = request.url.path
    shown = path if len(path) <= 120 and path.isprintable() else ascii(path[:120])
    reply = plain_error(404, f"there is nothing at {shown}; /docs lists what there is")
    return Response(reply.body[0], 404, media_type="application/json")


def wrong_method(request: Request, error: Exception) -> Response:
    """A path that is there, asked in another way."""
    headers = dict(getattr(error, "headers", None) or {})
    text = f"{request.method} is not for this path; allowed: {headers.get('Allow', '')}"
    return Response(plain_error(405, text).body[0], 405, headers, "application/json")
