"""A profile and what it extends: parents before children, each once; E0602."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import ProfileCycle, UnknownProfile
from pipeline_dsl.source import Span

from .order import in_order
from .scope import Scope


def lineage(scope: Scope, name: str | None, sink: Sink) -> tuple[syntax.Profile, ...]:
    """The profile called `name` behind everything it extends; of two that say the same, the later one counts.

    Empty without a name. Unknown profiles and cycles are reported and left out."""
    if name is None:
        return ()
    if name not in scope.profiles:
        start = Span(scope.module.source, 0, 0)
        sink.add(UnknownProfile(start, name, tuple(scope.profiles)).diagnostic())
        return ()
    order = in_order([name], lambda n: _parents(n, scope, sink))
    for cycle in order.cycles:
        first = min(range(len(cycle)), key=lambda i: scope.profiles[cycle[i]].decl.span.start)
        chain = (*cycle[first:], *cycle[:first], cycle[first])
        sink.add(ProfileCycle(scope.profiles[chain[0]].decl.name.span, chain).diagnostic())
    return tuple(scope.profiles[n].decl for n in order.items)


def _parents(name: str, scope: Scope, sink: Sink) -> list[str]:
    found = []
    for parent in scope.profiles[name].decl.extends:
        if parent.text in scope.profiles:
            found.append(parent.text)
        else:
            sink.add(UnknownProfile(parent.span, parent.text, tuple(scope.profiles)).diagnostic())
    return found
