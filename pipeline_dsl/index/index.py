"""`Index`: the names of one version of one file, and what is known of them.

Made from what the checker found, whether the file is right or wrong. Everything editors ask is answered from it, by
offsets in the text that was indexed; `shift` brings offsets of a newer text there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline_dsl import ir, syntax
from pipeline_dsl.check import Findings
from pipeline_dsl.check.programs import scopes_of
from pipeline_dsl.check.regions import Outcome
from pipeline_dsl.check.scope import Scope
from pipeline_dsl.source import Source, Span

from .declarations import walk
from .definitions import Definition, Occurrence, Topic
from .names import Names

Placed = TypeVar("Placed", Occurrence, Topic)


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The names of a file. Lists are sorted by place."""

    scope: Scope
    program: ir.Program | None
    outcomes: dict[tuple[str, int], Outcome]
    occurrences: tuple[Occurrence, ...]
    topics: tuple[Topic, ...]
    regions: tuple[Names, ...]
    values: dict[Definition, syntax.Rhs]
    imports: tuple[tuple[Span, Definition], ...]
    _starts: tuple[int, ...] = field(repr=False)
    _topic_starts: tuple[int, ...] = field(repr=False)

    @property
    def source(self) -> Source:
        """The text that was indexed."""
        return self.scope.module.source

    @property
    def module(self) -> syntax.Module:
        return self.scope.module

    def at(self, offset: int) -> list[Occurrence]:
        """What is mentioned at an offset, the end of a word included. Where two are, the variable comes first."""
        return list(_at(self.occurrences, self._starts, offset))

    def topic_at(self, offset: int) -> Topic | None:
        """The word of a table at an offset."""
        return next(_at(self.topics, self._topic_starts, offset), None)

    def mentions(self, definition: Definition) -> list[Occurrence]:
        """Every place of this file that mentions a definition, its own one included."""
        return [o for o in self.occurrences if o.definition == definition]

    def defined(self) -> Iterator[Definition]:
        """Everything that this file defines, in order."""
        return (o.definition for o in self.occurrences if o.defines)

    def region_at(self, offset: int) -> Names | None:
        """The innermost body or arm around an offset."""
        around = [r for r in self.regions if r.span.start < offset <= max(r.span.end - 1, r.span.start + 1)]
        return max(around, key=lambda r: r.span.start, default=None)

    def declaration_at(self, offset: int) -> syntax.Decl | None:
        """The last declaration that starts at or before an offset."""
        decls = self.module.decls
        at = bisect_right([d.span.start for d in decls], offset)
        return decls[at - 1] if at else None

    def outcome(self, definition: Definition) -> Outcome:
        """What the checker found a variable to be."""
        return self.outcomes.get(definition.key)

    def forget(self) -> None:
        """Takes the scopes apart, which refer to one another: all of an index is then freed when it is let go of.

        Without it the garbage collector has to find out, and it stops everything for a tenth of a second."""
        for scope in list(scopes_of(self.scope)):
            scope.names.clear()
            scope.profiles.clear()

    def import_at(self, offset: int) -> Definition | None:
        """The file that the path at an offset leads to."""
        return next((d for span, d in self.imports if span.start <= offset <= span.end), None)


def _at(items: tuple[Placed, ...], starts: tuple[int, ...], offset: int) -> Iterator[Placed]:
    """Those that hold an offset; one that starts there goes before one that ends there."""
    last = bisect_right(starts, offset)
    first = bisect_left(starts, starts[last - 1]) if last else 0
    found = [i for i in items[first:last] if i.span.start <= offset <= i.span.end]
    yield from found


def build(findings: Findings) -> Index:
    """The index of a checked file."""
    found = walk(findings.scope)
    occurrences = _sorted(found.occurrences)
    topics = tuple(sorted(found.topics, key=lambda t: t.span.start))
    return Index(
        findings.scope,
        findings.program,
        dict(findings.facts.outcomes),
        occurrences,
        topics,
        tuple(found.regions),
        found.values,
        tuple(found.imports),
        tuple(o.span.start for o in occurrences),
        tuple(t.span.start for t in topics),
    )


def _sorted(occurrences: Iterable[Occurrence]) -> tuple[Occurrence, ...]:
    """By place, each place and definition once; a definition goes before a mention, a variable before an output."""
    unique = {(o.span.start, o.span.end, o.definition.key): o for o in occurrences}
    return tuple(sorted(unique.values(), key=lambda o: (o.span.start, not o.defines, o.definition.kind == "output")))
