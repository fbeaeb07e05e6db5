"""`using backend(..)` -> the backend and its arguments, against the closed table of each backend (E0407)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import BadBackend
from pipeline_dsl.literals import spelled
from pipeline_dsl.operations import Typed
from pipeline_dsl.settings import BACKENDS, BackendSpec, KeySpec, foreign
from pipeline_dsl.spell import did_you_mean

from .scope import Scope
from .setting_values import FUNCTION, read_setting
from .values import evaluate, python_value

ARTIFACT = "artifact"


@dataclass(frozen=True, slots=True)
class Using:
    """A checked `using` clause. Durations in `arguments` are float seconds, as user code gets them."""

    spec: BackendSpec
    arguments: Mapping[str, Any]
    versions: tuple[int, ...] = ()


_UNKNOWN = BackendSpec("", None, "", "repeatable", others="always")
"""Stands for a backend that does not exist, so that the rest of the stage can be checked."""


def using_of(call: syntax.Call, signature: ir.Signature, scope: Scope, sink: Sink) -> Using:
    """The backend and its arguments; what is wrong with them is reported and left out."""
    spec = _backend(call, scope, sink)
    if spec is None:
        return Using(_UNKNOWN, {})
    positional = [a for a in call.args if a.name is None]
    arguments = _artifact(spec, call, positional, scope, sink)
    arguments |= _named(spec, call, signature, scope, sink)
    if call.options:
        span = call.options[0].span
        sink.add(BadBackend(span, "a stage takes no call options", help="remove `with (..)`").diagnostic())
    versions = _versions(arguments) if spec.versioned else ()
    _placeholder(spec, call, arguments, sink)
    return Using(spec, arguments, versions)


def _backend(call: syntax.Call, scope: Scope, sink: Sink) -> BackendSpec | None:
    name = _name(call.callee)
    if name in BACKENDS:
        return BACKENDS[name]
    installed = scope.options.backends()
    if name in installed:
        return foreign(name)
    shown = name or call.callee.span.text
    known = tuple(dict.fromkeys((*BACKENDS, *installed)))
    sink.add(
        BadBackend(
            call.callee.span,
            f"there is no backend `{shown}`",
            did_you_mean(shown, known),
            notes=(f"backends: {', '.join(known)}",),
        ).diagnostic()
    )
    return None


def _name(callee: syntax.Expr) -> str:
    """The word before the bracket. `null` is a literal everywhere else, and a backend here."""
    if isinstance(callee, syntax.Literal) and callee.kind == "null":
        return "null"
    return callee.text if isinstance(callee, syntax.Name) else ""


def _artifact(
    spec: BackendSpec, call: syntax.Call, positional: list[syntax.Argument], scope: Scope, sink: Sink
) -> dict[str, Any]:
    """The first positional argument: what the stage runs."""
    wanted = 0 if spec.artifact is None else 1
    for extra in positional[wanted:]:
        text = f"`{spec.name}` takes {wanted or 'no'} argument{'' if wanted == 1 else 's'} without a name"
        sink.add(BadBackend(extra.span, text, help=f"write `{spec.example}`").diagnostic())
    if spec.artifact is None:
        return {}
    if not positional:
        if not spec.needs_artifact:
            return {}
        text = f"`{spec.name}` needs {_WHAT.get(spec.artifact, 'an artifact')}"
        sink.add(BadBackend(call.span, text, help=f"write `{spec.example}`").diagnostic())
        return {}
    expr = positional[0].value
    given = evaluate(expr, scope, sink)
    if given is None:
        return {}
    wrong = not isinstance(given.value, str) or not given.value
    if wrong or (spec.artifact == "function" and not FUNCTION.fullmatch(given.value)):
        text = f"`{spec.name}` needs {_WHAT.get(spec.artifact, 'a name')}, found {_shown(given, expr)}"
        sink.add(BadBackend(expr.span, text, help=f"write `{spec.example}`").diagnostic())
        return {}
    return {ARTIFACT: given.value}


def _shown(given: Typed, expr: syntax.Expr) -> str:
    return spelled(given.value, given.type) if given.type.dtype.name != "json" else f"`{expr.span.text}`"


_WHAT: Mapping[str, str] = {
    "function": 'a function or class, `"pkg.mod:name"`',
    "path": "the path of a file",
    "string": "a name",
}


def _named(spec: BackendSpec, call: syntax.Call, signature: ir.Signature, scope: Scope, sink: Sink) -> dict[str, Any]:
    table = {s.name: s for s in spec.arguments}
    ports = {p.name for p in signature.inputs}
    given = {a.name.text for a in call.args if a.name}
    open_ = spec.others == "always" or spec.others in given
    found: dict[str, Any] = {}
    for arg in call.args:
        if arg.name is None:
            continue
        name = arg.name.text
        if name in found:
            sink.add(BadBackend(arg.span, f"`{name}` is given twice").diagnostic())
        elif name in table:
            found |= _listed(table[name], arg, scope, sink)
        elif name in ports and open_:
            text = f"key `{name}` has the name of an input port: the function would get both"
            sink.add(BadBackend(arg.name.span, text, help="rename the key or the port").diagnostic())
        elif name == ARTIFACT or not open_:
            _unknown(spec, arg.name, table, sink)
        else:
            found |= _free(arg, scope, sink)
    return found


def _listed(spec: KeySpec, arg: syntax.Argument, scope: Scope, sink: Sink) -> dict[str, Any]:
    value = read_setting(spec, spec.name, _as_word(spec, arg.value), scope, sink)
    if value is None:
        return {}
    return {spec.name: value[0] / 1e9 if spec.kind == "duration" else value[0]}


def _as_word(spec: KeySpec, expr: syntax.Expr) -> syntax.Expr:
    """`arrays = "torch"` and `arrays = torch` are the same."""
    if spec.words and isinstance(expr, syntax.Literal) and expr.value in spec.words:
        return syntax.Name(str(expr.value), span=expr.span)
    return expr


def _free(arg: syntax.Argument, scope: Scope, sink: Sink) -> dict[str, Any]:
    """A key of the user's own code."""
    value = evaluate(arg.value, scope, sink)
    return {} if value is None or arg.name is None else {arg.name.text: python_value(value)}


def _unknown(spec: BackendSpec, name: syntax.Ident, table: Mapping[str, KeySpec], sink: Sink) -> None:
    known = ", ".join(table) or "none"
    sink.add(
        BadBackend(
            name.span,
            f"backend `{spec.name}` has no argument `{name}`",
            did_you_mean(name.text, table),
            notes=(f"arguments: {known}",),
        ).diagnostic()
    )


def _versions(arguments: dict[str, Any]) -> tuple[int, ...]:
    """`version` and `versions` belong to the contract."""
    single = arguments.pop("version", None)
    several: tuple[int, ...] = arguments.pop("versions", ())
    return tuple(sorted({*several, *(() if single is None else (single,))}))


def _placeholder(spec: BackendSpec, call: syntax.Call, arguments: Mapping[str, Any], sink: Sink) -> None:
    """`{version}` is filled in paths of backends that have versions, and nowhere else."""
    if "{version}" in str(arguments.get(ARTIFACT, "")) and not spec.versioned:
        text = f"`{{version}}` has no meaning for `{spec.name}`, which has no versions"
        sink.add(BadBackend(call.args[0].span, text).diagnostic())
