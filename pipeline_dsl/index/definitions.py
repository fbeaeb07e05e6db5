"""What the index holds: things with a name, the places that mention them, and words that a table explains.

A `Definition` is equal to another if both are the name at one place: `from "x.pipe" import a` in two files leads to the
same one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline_dsl import syntax
from pipeline_dsl.settings import KeySpec
from pipeline_dsl.source import Span

Kind = Literal[
    "file",
    "module",
    "import",
    "const",
    "param",
    "type",
    "stage",
    "pipeline",
    "profile",
    "input",
    "output",
    "variable",
    "size",
    "state",
]
"""import: a name that `from .. import` gives a file, where it has an alias or leads nowhere. size: of one signature."""


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """One thing with a name."""

    kind: Kind
    name: str
    span: Span
    """The name, where it is defined."""
    whole: Span
    """The declaration, port or statement around it."""
    node: syntax.Node | None = field(default=None, repr=False)
    """What defines it: a declaration, a port, the right side of `=`."""
    owner: str = ""
    """Of a port, size, variable or state: `stage encoder`, `pipeline p`."""
    target: Definition | None = None
    """Of an alias: what it stands for."""

    @property
    def key(self) -> tuple[str, int]:
        """The place that makes it what it is."""
        return self.span.source.path, self.span.start

    @property
    def doc(self) -> str:
        """The `##` lines above it."""
        return str(getattr(self.node, "doc", ""))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Definition) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A place that mentions a definition."""

    span: Span
    definition: Definition
    defines: bool = False
    form: str = "{}"
    """What a new name is written as here. `return a` is `a = {}` for the variable and `{} = a` for the output."""


TopicKind = Literal["setting", "block", "dtype", "function", "backend"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A word of the language or of a settings table, where it is written."""

    span: Span
    kind: TopicKind
    name: str
    """In full: `batching.max`."""
    spec: KeySpec | None = None
    inside: tuple[str, ...] = ()
    """Keys of a block."""
