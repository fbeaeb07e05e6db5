"""Every key that a stage, a profile or a construct may set: closed tables for the checker, editors and documents.

Values in a `Schedule`: durations in nanoseconds, sizes in bytes, percent as a fraction, devices as `cpu`, `any`,
`cuda:0`, `cuda:0,1`, lists as tuples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Literal

from .base import Block, KeySpec, KeyTree, Kind
from .construct import MAP, TRY
from .contract import BACKENDS, CONTRACT, BackendSpec, foreign
from .schedule import PIPELINE, STAGE, is_idle

Place = Literal["stage", "pipeline", "contract"]

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {s.name: s.default for s in (*PIPELINE, *STAGE) if s.default is not None}
)
"""What holds where no profile says anything, for stages and pipelines."""

CALL_KEYS = frozenset(s.name for s in STAGE if s.scope == "call")
"""Keys that belong to a call, not to the stage's instances."""

_TABLES: Mapping[Place, tuple[KeySpec, ...]] = {"stage": STAGE, "pipeline": PIPELINE, "contract": CONTRACT}


def keys(place: Place, backend: str = "") -> tuple[KeySpec, ...]:
    """The keys of a profile block for a stage or call site, of one for a pipeline, or of a stage's own block.

    `backend` "": of any backend."""
    return tuple(s for s in _TABLES[place] if s.serves(backend))


@cache
def tree(place: Place, backend: str = "") -> KeyTree:
    """The keys of a place by their parts."""
    return KeyTree(keys(place, backend))


__all__ = [
    "BACKENDS",
    "CALL_KEYS",
    "CONTRACT",
    "DEFAULTS",
    "MAP",
    "PIPELINE",
    "STAGE",
    "TRY",
    "BackendSpec",
    "Block",
    "KeySpec",
    "KeyTree",
    "Kind",
    "Place",
    "foreign",
    "is_idle",
    "keys",
    "tree",
]
