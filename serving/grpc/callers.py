"""Who is behind a call, and which of its headers go on to the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from serving.access import ANYONE, Access, Caller
from serving.options import ServerOptions
from serving.tensors import InferCall


class Callers:
    """Reads the metadata of calls; not at all where there are no tokens and nothing is forwarded."""

    def __init__(self, access: Access, options: ServerOptions) -> None:
        self._access = access
        self._forwarded = options.forwarded()

    def caller(self, context: Any) -> Caller:
        """Unauthenticated for a token that is not known."""
        if self._access.open:
            return ANYONE
        return self._access.caller(header(context, "authorization"))

    def annotate(self, call: InferCall, context: Any) -> None:
        """Put the call's deadline, its connection and its forwarded headers to it."""
        call.timeout = context.time_remaining()
        call.peer = context.peer()
        if self._forwarded is not None:
            call.headers = self._headers(context.invocation_metadata())

    def _headers(self, metadata: Iterable[tuple[str, str | bytes]] | None) -> Mapping[str, str]:
        pattern = self._forwarded
        assert pattern is not None
        return {k: v for k, v in metadata or () if isinstance(v, str) and pattern.fullmatch(k)}


def header(context: Any, name: str) -> str | None:
    """A header by its lower-case name; None if it is not there, or not text."""
    for key, value in context.invocation_metadata() or ():
        if key == name and isinstance(value, str):
            return value
    return None
