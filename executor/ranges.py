"""Named ranges in a profiler's timeline (NVTX), one for each execution of a stage.

Without the package `nvtx`, or with no profiler attached, a range is one shared object that does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

DOMAIN = "pipectl"
NOTHING: AbstractContextManager[Any] = nullcontext()


class Range:
    """Holds no state of its own: threads share it, and it may be entered again inside of itself."""

    __slots__ = ("_attributes", "_pop", "_push")

    def __init__(self, domain: Any, name: str) -> None:
        self._attributes = domain.get_event_attributes(message=name)
        self._push = domain.push_range
        self._pop = domain.pop_range

    def __enter__(self) -> None:
        self._push(self._attributes)

    def __exit__(self, *_: object) -> None:
        self._pop()


class Ranges:
    """Ranges by pipeline and stage, each made once."""

    def __init__(self, library: Callable[[], Any] | None = None) -> None:
        """`library`: gives the module `nvtx`, or raises ImportError."""
        self._domain = _domain(library or _nvtx)
        self._made: dict[tuple[str, str], AbstractContextManager[Any]] = {}

    def of(self, pipeline: str, stage: str) -> AbstractContextManager[Any]:
        """The range of a stage in a pipeline, for `with`; best asked for once, when the pipeline starts."""
        if self._domain is None:
            return NOTHING
        key = (pipeline, stage)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Range(self._domain, f"{pipeline}.{stage}")
        return found


def _domain(library: Callable[[], Any]) -> Any:
    try:
        found = library().get_domain(DOMAIN)
    except ImportError:
        return None
    # What the package gives where nobody listens.
    return None if type(found).__name__ == "DummyDomain" else found


def _nvtx() -> Any:
    import nvtx

    return nvtx
