"""What a request gave, and what takes it: a line, a table, a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from executor.trace import RouteRecord


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request has no outputs."""

    message: str
    code: str
    """gRPC code: INVALID_ARGUMENT, INTERNAL, .."""
    node: str = ""
    retryable: bool = False

    def __str__(self) -> str:
        return f"{self.code}: {self.node}: {self.message}" if self.node else f"{self.code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One request's outputs, or its failure."""

    index: int
    id: str
    outputs: Mapping[str, Any] | None = None
    failure: Failure | None = None
    part: int | None = None
    """Of an answer that comes in parts: their number, from 0."""
    routes: Sequence[RouteRecord] = ()
    """Which arms it took, where that was asked for."""


class Writer(Protocol):
    """Takes answers in the order of their requests."""

    def write(self, answer: Answer) -> None: ...

    def close(self) -> None:
        """Write what is held back. Called after an error as well, and may be called again."""
