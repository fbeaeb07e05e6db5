"""The body that is being built: its names, its statements, and what still waits for a use.

    with entered(Frame("pipeline `embed`", None, span)) as frame: ..

Frames form a chain through `parent`; a value made in one can be used in it and in the bodies inside of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.errors.builder import NeverUsed
from pipeline_dsl.source import Span

from .declared import Declared


class Pending(Protocol):
    """Something made that has to be used once."""

    spent: Span | None

    @property
    def span(self) -> Span:
        """Where it was made."""

    def shown(self) -> str:
        """Its spelling in messages."""


class Frame:
    """One body: of a pipeline, or of an arm of a construct."""

    __slots__ = ("depth", "names", "parent", "pending", "span", "statements", "title", "uses")

    def __init__(self, title: str, parent: Frame | None, span: Span) -> None:
        self.title = title
        """pipeline `embed`, a body of `if_`"""
        self.span = span
        """Where its function is defined."""
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.names: dict[str, Span] = {}
        self.statements: list[syntax.Statement] = []
        self.uses: dict[Declared, None] = {}
        self.pending: list[Pending] = []

    def sees(self, other: Frame) -> bool:
        """Whether what was made in another frame may be used in this one."""
        frame: Frame | None = self
        while frame is not None and frame is not other:
            frame = frame.parent
        return frame is other

    def find(self, name: str) -> Frame | None:
        """The innermost frame from here outwards that has a name."""
        frame: Frame | None = self
        while frame is not None and name not in frame.names:
            frame = frame.parent
        return frame

    def known(self) -> tuple[str, ...]:
        """All names that can be used here."""
        outer = self.parent.known() if self.parent is not None else ()
        return (*self.names, *outer)

    def finish(self) -> None:
        """CompileError if something was made for nothing."""
        left = [NeverUsed(p.span, p.shown()).diagnostic() for p in self.pending if p.spent is None]
        if left:
            raise CompileError(left)


_CURRENT: ContextVar[Frame | None] = ContextVar("pipectl_builder_frame", default=None)


def current() -> Frame | None:
    """The body that is being built, if one is."""
    return _CURRENT.get()


@contextmanager
def entered(frame: Frame) -> Iterator[Frame]:
    """Builds in a frame; at the end everything made in it must have found a use."""
    token = _CURRENT.set(frame)
    try:
        yield frame
    finally:
        _CURRENT.reset(token)
    frame.finish()
