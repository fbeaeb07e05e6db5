"""`NAME = value` of profiles that are not selected: type and constraints are checked all the same (E0106)."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink

from .inherit import lineage
from .params import allowed
from .scope import ModuleBinding, Scope, ValueBinding
from .values import evaluate_as


def check_overrides(profile: str, scope: Scope, sink: Sink) -> None:
    """Check what a profile and its parents give to params."""
    for decl in lineage(scope, profile, sink):
        for item in decl.items:
            found = _param(item.key.parts, scope) if isinstance(item, syntax.Setting) else None
            if isinstance(item, syntax.Setting) and found is not None:
                _check(item, found[0], found[1], f"profile {decl.name}", scope, sink)


def _check(item: syntax.Setting, param: ValueBinding, owner: Scope, origin: str, scope: Scope, sink: Sink) -> None:
    assert isinstance(param.decl, syntax.Param)
    given = evaluate_as(item.value, param.type, scope, sink, param.decl.span)
    if given is not None:
        allowed(param.decl, param.name, param.type, given.value, origin, item.value.span, owner, sink)


def _param(parts: tuple[str, ...], scope: Scope) -> tuple[ValueBinding, Scope] | None:
    """A param and the module that declares it."""
    for part in parts[:-1]:
        module = scope.lookup(part)
        if not isinstance(module, ModuleBinding):
            return None
        scope = module.scope
    found = scope.lookup(parts[-1])
    if not isinstance(found, ValueBinding) or not found.is_param:
        return None
    return found, scope.owner(parts[-1])
