"""Parameters: who gives the value, and whether it may be so.

`--set` wins over the environment, that over the selected profile, that over the default. In the environment a param
is `PIPE_NAME`, or what its own default `env("X", ..)` says. Constraints are `min`, `max`, `oneof`; E0106 names the
giver. A param of an imported module is called by its full name: `emb.NAME`, and `PIPE_emb_NAME`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import DuplicateName, ParamMissing, ParamRejected
from pipeline_dsl.errors.settings import UnknownSetting
from pipeline_dsl.literals import spelled
from pipeline_dsl.operations import Problem, Typed
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .scope import ErrorBinding, Scope, ValueBinding
from .signatures import type_of
from .spelling import read_text
from .values import evaluate, evaluate_as, told

CONSTRAINTS = ("min", "max", "oneof")


@dataclass(frozen=True, slots=True)
class Override:
    """`NAME = value` of a profile."""

    setting: syntax.Setting
    origin: str
    scope: Scope = field(repr=False)
    """Where the names in the value live: the main file's."""


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    origin: str
    span: Span


def environment_name(full_name: str) -> str:
    """The variable that sets a param: `PIPE_CANARY`."""
    return "PIPE_" + full_name.replace(".", "_")


def param(
    decl: syntax.Param, scope: Scope, overrides: Mapping[str, Override], sink: Sink
) -> ValueBinding | ErrorBinding:
    """The param with the value that counts, checked; an `ErrorBinding` after reporting."""
    kind = type_of(decl.type, scope, sink, decl.name.text, "value")
    if kind is None:
        return ErrorBinding(decl)
    name = scope.qualify(decl.name.text)
    given = _given(decl, name, kind, scope, overrides, sink)
    if given is None or not allowed(decl, name, kind, given.value, given.origin, given.span, scope, sink):
        return ErrorBinding(decl)
    return ValueBinding(name, kind, given.value, decl, True, origin=given.origin)


def _given(
    decl: syntax.Param,
    name: str,
    kind: TensorType,
    scope: Scope,
    overrides: Mapping[str, Override],
    sink: Sink,
) -> _Given | None:
    """The value of the first giver that has one."""
    options = scope.options
    explicit = _explicit_variable(decl)
    for text, origin in (
        (options.params.get(name), "--set"),
        (options.environ.get(environment_name(name)), f"env {environment_name(name)}"),
        (options.environ.get(explicit) if explicit else None, f"env {explicit}"),
    ):
        if text is not None:
            return _from_text(decl, name, kind, text, origin, sink)
    if name in overrides:
        return _from_profile(decl, kind, overrides[name], sink)
    return _from_default(decl, name, kind, scope, sink)


def _explicit_variable(decl: syntax.Param) -> str:
    """`X` of a default that is `env("X", ..)`."""
    match decl.default:
        case syntax.Call(callee=syntax.Name(text="env"), args=(first, *_)):
            name = first.value
            return str(name.value) if isinstance(name, syntax.Literal) and name.kind == "string" else ""
    return ""


def _from_text(decl: syntax.Param, name: str, kind: TensorType, text: str, origin: str, sink: Sink) -> _Given | None:
    value = read_text(text, kind)
    if isinstance(value, Problem):
        sink.add(ParamRejected(decl.name.span, name, repr(text), value.text, origin).diagnostic())
        return None
    return _Given(value, origin, decl.name.span)


def _from_profile(decl: syntax.Param, kind: TensorType, override: Override, sink: Sink) -> _Given | None:
    setting = override.setting
    value = evaluate_as(setting.value, kind, override.scope, sink, decl.span)
    return None if value is None else _Given(value.value, override.origin, setting.value.span)


def _from_default(decl: syntax.Param, name: str, kind: TensorType, scope: Scope, sink: Sink) -> _Given | None:
    if decl.default is None:
        if kind.optional:
            return _Given(None, "default", decl.name.span)
        sink.add(ParamMissing(decl.name.span, name, environment_name(name)).diagnostic())
        return None
    default = decl.default
    if _explicit_variable(decl) and isinstance(default, syntax.Call) and len(default.args) == 2:
        default = default.args[1].value
    value = evaluate_as(default, kind, scope, sink, decl.type.span)
    return None if value is None else _Given(value.value, "default", default.span)


# ---- constraints


def allowed(
    decl: syntax.Param,
    name: str,
    kind: TensorType,
    value: Any,
    origin: str,
    span: Span,
    scope: Scope,
    sink: Sink,
) -> bool:
    """Whether a value meets the constraints; E0106 if not. Also reports constraints that are wrong themselves."""
    good = True
    first: dict[str, Span] = {}
    for item in decl.constraints.items if decl.constraints else ():
        key = str(item.key) if isinstance(item, syntax.Setting | syntax.Nested) else item.name.text
        if key not in CONSTRAINTS or not isinstance(item, syntax.Setting):
            span = item.name.span if isinstance(item, syntax.State) else item.key.span
            sink.add(UnknownSetting(span, key, f"param `{name}`", CONSTRAINTS).diagnostic())
            good = False
            continue
        if key in first:
            sink.add(DuplicateName(item.key.span, key, first[key], "set").diagnostic())
        first.setdefault(key, item.key.span)
        limit = _limit(key, item, kind, scope, sink)
        why = "" if limit is None or value is None else _broken(key, value, limit, kind)
        if limit is None or why:
            good = False
        if why:
            shown = spelled(value, kind)
            sink.add(ParamRejected(span, name, shown, why, origin, item.span).diagnostic())
    return good


def _limit(key: str, item: syntax.Setting, kind: TensorType, scope: Scope, sink: Sink) -> Any:
    """The value of a constraint; a list of values for `oneof`."""
    if key != "oneof":
        value = evaluate_as(item.value, kind, scope, sink)
        return None if value is None else value.value
    if not isinstance(item.value, syntax.ListExpr) or not item.value.items:
        problem = Problem("`oneof` needs a list of values")
        sink.add(told(problem, item.value.span, ()))
        return None
    values = [evaluate_as(e, kind, scope, sink) for e in item.value.items]
    return [v.value for v in values if v is not None] if all(values) else None


def _broken(key: str, value: Any, limit: Any, kind: TensorType) -> str:
    """Why a value breaks a constraint; "" if it does not."""
    if key == "oneof":
        return "" if value in limit else f"is not one of {', '.join(spelled(v, kind) for v in limit)}"
    items = _flat(value)
    if key == "min" and any(v < limit for v in items):
        return f"is below min {spelled(limit, kind)}"
    if key == "max" and any(v > limit for v in items):
        return f"is above max {spelled(limit, kind)}"
    return ""


def _flat(value: Any) -> list[Any]:
    return [one for v in value for one in _flat(v)] if isinstance(value, list) else [value]


def const(decl: syntax.Const, scope: Scope, sink: Sink) -> ValueBinding | ErrorBinding:
    """The const with its value; an `ErrorBinding` after reporting."""
    given: Typed | None
    if decl.type is None:
        given = evaluate(decl.value, scope, sink)
    else:
        kind = type_of(decl.type, scope, sink, decl.name.text, "value")
        given = None if kind is None else evaluate_as(decl.value, kind, scope, sink, decl.type.span)
    if given is None:
        return ErrorBinding(decl)
    name = scope.qualify(decl.name.text)
    return ValueBinding(name, given.type, given.value, decl, False, given.weak)
