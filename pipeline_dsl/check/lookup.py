"""Looking names up and saying so where that fails: E0103, E0107, E0404."""

from __future__ import annotations

from itertools import pairwise

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import NotAMember, UnknownName, WrongKind
from pipeline_dsl.source import Span

from .scope import (
    Binding,
    ErrorBinding,
    ModuleBinding,
    Pending,
    PipelineBinding,
    Scope,
    StageBinding,
    TypeBinding,
)


def member(parts: tuple[syntax.Ident, ...], scope: Scope, sink: Sink, kind: str = "name") -> Binding | None:
    """What `a` or `module.a` stands for, counted as used. None after the mistake has been reported.

    May be an `ErrorBinding`: its mistake is known."""
    first = parts[0]
    found = scope.use(first.text)
    if found is None:
        known = () if sink.crowded else tuple(scope.visible_names())
        sink.add(UnknownName(first.span, first.text, known, kind).diagnostic())
        return None
    for before, part in pairwise(parts):
        if isinstance(found, ErrorBinding):
            return found
        if not isinstance(found, ModuleBinding):
            sink.add(WrongKind(before.span, before.text, kind_of(found), "a module").diagnostic())
            return None
        found = of_module(found.scope, part, found.name, sink)
        if found is None:
            return None
    return found


def of_module(module: Scope, name: syntax.Ident, shown: str, sink: Sink) -> Binding | None:
    """A public name of an imported module. None after the mistake has been reported."""
    found = module.lookup(name.text)
    hidden = declared_private(found)
    if found is None or hidden is not None:
        sink.add(NotAMember(name.span, shown, name.text, hidden, public_names(module)).diagnostic())
        return None
    return found


def declared_private(found: Binding | None) -> Span | None:
    """Where a private pipeline is declared; None for what may be imported."""
    decl = found.decl if isinstance(found, PipelineBinding | Pending | ErrorBinding) else None
    return decl.name.span if isinstance(decl, syntax.Pipeline) and decl.private else None


def public_names(module: Scope) -> tuple[str, ...]:
    """Names another file may use."""
    return tuple(n for n in module.visible_names() if declared_private(module.lookup(n)) is None)


def kind_of(found: Binding) -> str:
    """What a binding is, for messages: `a stage`, `a const`."""
    if isinstance(found, Pending | ErrorBinding):
        return _KINDS.get(type(found.decl), "a name")
    if isinstance(found, ModuleBinding):
        return "a module"
    if isinstance(found, StageBinding):
        return "a stage"
    if isinstance(found, PipelineBinding):
        return "a pipeline"
    if isinstance(found, TypeBinding):
        return "a type"
    return "a param" if found.is_param else "a const"


_KINDS: dict[type, str] = {
    syntax.Const: "a const",
    syntax.Param: "a param",
    syntax.TypeAlias: "a type",
    syntax.Stage: "a stage",
    syntax.Pipeline: "a pipeline",
    syntax.Import: "a module",
}
