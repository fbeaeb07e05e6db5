"""Options of `map (..)` and `try (..)`."""

from __future__ import annotations

from typing import Any

from .base import KeySpec, Kind


def _option(name: str, kind: Kind, default: Any, doc: str, **more: Any) -> KeySpec:
    return KeySpec(name, kind, default, "construct", doc, **more)


MAP: tuple[KeySpec, ...] = (
    _option("max", "int", None, "items of one element at most; more end the request", minimum=1),
    _option("order", "word", "keep", "`any`: results in the order in which items end", words=("keep", "any")),
    _option(
        "on_error",
        "word",
        "fail",
        "of an item: `mark` adds `ok: bool[N]`, `drop` leaves it out",
        words=("fail", "mark", "drop"),
    ),
    _option("in_flight", "int", None, "items of one element under way at a time", minimum=1),
)

TRY: tuple[KeySpec, ...] = (
    _option("timeout", "duration", None, "of the whole body, retries included", minimum=1),
    _option("retries", "int", 0, "how often the body is started again"),
    _option("hedge", "duration", None, "when a second attempt starts beside the first", minimum=1),
    _option("first", "duration", None, "until the first element of the body's stream", minimum=1),
)
