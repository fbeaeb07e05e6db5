"""What a walk over one file collects: occurrences, topics, and the regions of names."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline_dsl import syntax
from pipeline_dsl.source import Span

from .definitions import Definition, Occurrence, Topic
from .names import Names


@dataclass(slots=True)
class Found:
    """Filled by the walk, in no order."""

    occurrences: list[Occurrence] = field(default_factory=list)
    topics: list[Topic] = field(default_factory=list)
    regions: list[Names] = field(default_factory=list)
    values: dict[Definition, syntax.Rhs] = field(default_factory=dict)
    """What stands right of `=`, for variables that are given it alone."""
    nodes: dict[Definition, syntax.Call] = field(default_factory=dict)
    """The call behind a node, by what names it: the first target, or the output it is returned as."""
    imports: list[tuple[Span, Definition]] = field(default_factory=list)
    """Where a path is written, and the file it leads to."""

    def define(self, definition: Definition) -> Definition:
        """Its own place."""
        self.occurrences.append(Occurrence(definition.span, definition, defines=True))
        return definition

    def refer(self, span: Span, definition: Definition | None, form: str = "{}") -> None:
        """A mention; nothing where the name is unknown."""
        if definition is not None:
            self.occurrences.append(Occurrence(span, definition, form=form))

    def explain(self, topic: Topic) -> None:
        """A word that a table explains."""
        self.topics.append(topic)
