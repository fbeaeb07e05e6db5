"""Names to bindings: imports are loaded, declarations are entered, and each is made in order of need.

    main module -> load -> declare (one `Scope` a file) -> consts, params, types -> stages -> pipelines' signatures

Nothing stops at a mistake: what can not be made is bound to an `ErrorBinding`, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import DefinitionCycle, UnknownParam
from pipeline_dsl.source import Span

from .declare import declare_all
from .inherit import lineage
from .load import load
from .locked import lock_of
from .options import Options
from .order import in_order
from .params import Override, const, param
from .scope import (
    ErrorBinding,
    Imported,
    ModuleBinding,
    Pending,
    PipelineBinding,
    Scope,
    StageBinding,
    TypeBinding,
)
from .signatures import signature_of, type_of
from .stages import stage_of
from .walk import Path, names_of, type_names

Here = tuple[Scope, str]
"""A declaration: where it is and what it is called."""


def resolve(main: syntax.Module, options: Options, sink: Sink) -> Scope:
    """The names of the main file, all of them made; imported files hang below it."""
    loaded = load(main, options, sink)
    scopes = declare_all(main, loaded, options, sink)
    for one in scopes.values():
        one.lock = lock_of(one, sink)
    scope = scopes[main.source.path]
    overrides = _overrides(scope, sink)
    _unknown_params(scopes.values(), scope, sink)
    _make_values(scopes.values(), overrides, sink)
    _make_stages(scopes.values(), sink)
    _make_pipelines(scopes.values(), sink)
    return scope


# ---- consts, params, types


def _overrides(scope: Scope, sink: Sink) -> dict[str, Override]:
    """What the selected profile says about params, by the param's full name."""
    found: dict[str, Override] = {}
    for profile in lineage(scope, scope.options.profile, sink):
        for item in profile.items:
            if isinstance(item, syntax.Setting):
                name = param_name(item.key, scope)
                if name is not None:
                    origin = f"profile {profile.name}"
                    found[name] = Override(item, origin, scope)
    return found


def param_name(key: syntax.Key, scope: Scope) -> str | None:
    """The full name of the param that a key of a profile means; None if it means none."""
    place = _follow(scope, key.parts)
    if place is None:
        return None
    found = place[0].names[place[1]]
    decl = getattr(found, "decl", None)
    return place[0].qualify(place[1]) if isinstance(decl, syntax.Param) else None


def _follow(scope: Scope, path: Path) -> Here | None:
    """Where the declaration that a path means stands; None if there is none."""
    for part in path[:-1]:
        module = scope.lookup(part)
        if not isinstance(module, ModuleBinding):
            return None
        scope = module.scope
    name = path[-1]
    while isinstance(found := scope.names.get(name), Imported):
        scope, name = found.scope, found.name
    return None if found is None else (scope, name)


def _unknown_params(scopes: Iterable[Scope], main: Scope, sink: Sink) -> None:
    """`--set` of something that no file calls a param."""
    if not main.options.params:
        return
    known = tuple(
        scope.qualify(name)
        for scope in scopes
        for name, found in scope.names.items()
        if isinstance(found, Pending) and isinstance(found.decl, syntax.Param)
    )
    start = Span(main.module.source, 0, 0)
    for name in main.options.params:
        if name not in known:
            sink.add(UnknownParam(start, name, known).diagnostic())


def _make_values(scopes: Iterable[Scope], overrides: Mapping[str, Override], sink: Sink) -> None:
    items = _pending(scopes, syntax.Const | syntax.Param | syntax.TypeAlias)
    order = in_order(items, lambda here: _value_needs(here, items, overrides))
    for cycle in order.cycles:
        _report_cycle(cycle, items, sink)
    for scope, name in order.items:
        decl = items[scope, name]
        if isinstance(decl, syntax.TypeAlias):
            kind = type_of(decl.type, scope, sink)
            scope.names[name] = ErrorBinding(decl) if kind is None else TypeBinding(name, kind, decl)
        elif isinstance(decl, syntax.Const):
            scope.names[name] = const(decl, scope, sink)
        elif isinstance(decl, syntax.Param):
            scope.names[name] = param(decl, scope, overrides, sink)


def _pending(scopes: Iterable[Scope], kinds: object) -> dict[Here, syntax.Decl]:
    return {
        (scope, name): found.decl
        for scope in scopes
        for name, found in scope.names.items()
        if isinstance(found, Pending) and isinstance(found.decl, kinds)  # type: ignore[arg-type]  # a union of classes
    }


def _value_needs(here: Here, items: Mapping[Here, object], overrides: Mapping[str, Override]) -> Iterator[Here]:
    scope, name = here
    for place, path in _value_paths(scope, name, items[here], overrides):
        found = _follow(place, path)
        if found is not None and found in items:
            yield found


def _value_paths(
    scope: Scope, name: str, decl: object, overrides: Mapping[str, Override]
) -> Iterator[tuple[Scope, Path]]:
    """Paths that a declaration reads, each with the scope it is written in."""
    if isinstance(decl, syntax.TypeAlias):
        yield from ((scope, p) for p in type_names(decl.type))
        return
    assert isinstance(decl, syntax.Const | syntax.Param)
    if decl.type is not None:
        yield from ((scope, p) for p in type_names(decl.type))
    if isinstance(decl, syntax.Const):
        yield from ((scope, p) for p in names_of(decl.value))
        return
    override = overrides.get(scope.qualify(name))
    if override is not None:
        yield from ((override.scope, p) for p in names_of(override.setting.value))
    if decl.default is not None:
        yield from ((scope, p) for p in names_of(decl.default))
    for item in decl.constraints.items if decl.constraints else ():
        if isinstance(item, syntax.Setting):
            yield from ((scope, p) for p in names_of(item.value))


def _report_cycle(cycle: tuple[Here, ...], items: Mapping[Here, syntax.Decl], sink: Sink) -> None:
    spans = [_name_span(items[here]) for here in cycle]
    names = tuple(name for _, name in cycle)
    kind = {syntax.TypeAlias: "type", syntax.Stage: "stage", syntax.Param: "param"}.get(type(items[cycle[0]]), "const")
    places = tuple(spans[1:])
    sink.add(DefinitionCycle(spans[0], kind, (*names, names[0]), places).diagnostic())
    for here in cycle:
        scope, name = here
        scope.names[name] = ErrorBinding(items[here])


def _name_span(decl: syntax.Decl) -> Span:
    assert not isinstance(decl, syntax.FromImport)
    return decl.name.span


# ---- stages and pipelines


def _make_stages(scopes: Iterable[Scope], sink: Sink) -> None:
    items = _pending(scopes, syntax.Stage)
    order = in_order(items, lambda here: _like(here, items))
    for cycle in order.cycles:
        _report_cycle(cycle, items, sink)
    for scope, name in order.items:
        decl = items[scope, name]
        assert isinstance(decl, syntax.Stage)
        stage = stage_of(decl, scope, sink)
        scope.names[name] = ErrorBinding(decl) if stage is None else StageBinding(stage, decl, scope)


def _like(here: Here, items: Mapping[Here, syntax.Decl]) -> Iterator[Here]:
    decl = items[here]
    if isinstance(decl, syntax.Stage) and decl.like is not None:
        found = _follow(here[0], tuple(p.text for p in decl.like.parts))
        if found is not None and found in items:
            yield found


def _make_pipelines(scopes: Iterable[Scope], sink: Sink) -> None:
    for (scope, name), decl in _pending(scopes, syntax.Pipeline).items():
        assert isinstance(decl, syntax.Pipeline)
        signature = signature_of(decl.signature, decl.where, scope, sink, stage=False)
        if signature is None:
            scope.names[name] = ErrorBinding(decl)
        else:
            scope.names[name] = PipelineBinding(scope.qualify(name), decl, scope, signature)
