"""`sequence { .. }` and `state h: T = init as "in" -> "out"` of a stage -> `ir.SequenceRule`, `ir.StateRule`.

A control name is an input port, which no caller gives then, or a tensor of the artifact that has no port. A state is
a port the runtime feeds back: its name must be free among the ports, its shape known when a sequence begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.sequences import BadState
from pipeline_dsl.errors.settings import SettingsDisagree, WrongSetting
from pipeline_dsl.operations import Problem, Typed, fit
from pipeline_dsl.types import Sized, TensorType

from .blocks import Leaf
from .scope import Scope
from .signatures import sizes_of, type_of
from .values import evaluate

Given = Mapping[str, tuple[Any, Leaf]]
"""Values of the block's settings, by key without `sequence.`, and where they stand."""

CONTROLS = ("start", "end", "ready", "id")
_FLAGS = ("bool", "int", "uint", "float")


def sequence_rule(given: Given, signature: ir.Signature, ragged: list[ir.RaggedRule], sink: Sink) -> ir.SequenceRule:
    """The rule of a `sequence` block; settings with mistakes are reported and left out."""
    controls = {kind: given[kind][0] for kind in CONTROLS if kind in given and _control(kind, given, signature, sink)}
    plain = {"idle": "idle_ns", "slots.strategy": "strategy", "slots.max": "slots", "slots.delay": "delay_ns"}
    rule = ir.SequenceRule(**controls, **{field: given[key][0] for key, field in plain.items() if key in given})
    packed = next((r.dim for r in ragged if r.how == "pack"), None)
    if packed is None or rule.strategy == "oldest":
        return rule
    if "slots.strategy" in given:
        text = f"direct slots keep a row of the batch for each sequence, and `~{packed}` is packed"
        hint = "use `slots { strategy = oldest }`, or `pad`"
        sink.add(SettingsDisagree(given["slots.strategy"][1].span, text, help=hint).diagnostic())
    return replace(rule, strategy="oldest")


def _control(kind: str, given: Given, signature: ir.Signature, sink: Sink) -> bool:
    """Whether a control has a tensor; E0604 also for a port that can not take it."""
    name, leaf = given[kind]
    span = leaf.setting.value.span
    same = next((k for k in CONTROLS if k != kind and k in given and given[k][0] == name), None)
    if not name or (same is not None and CONTROLS.index(same) < CONTROLS.index(kind)):
        found = f'"{name}", which `{same}` has' if same else '""'
        sink.add(WrongSetting(span, leaf.key, "a tensor of its own", found).diagnostic())
        return False
    port = next((p for p in signature.inputs if p.name == name), None)
    if port is None:
        return True
    kinds = ("int", "uint", "string") if kind == "id" else _FLAGS
    sort = "string" if port.type.dtype.name == "string" else port.type.dtype.kind
    dims = port.type.dims[1:] if port.type.has_rows else port.type.dims
    if sort not in kinds or dims or port.type.optional or port.type.has_rows != signature.has_rows:
        usual = "i64" if kind == "id" else "bool"
        shown = f"{usual}[*]" if signature.has_rows else usual
        needs = f"one value for each {'row' if signature.has_rows else 'call'}, like `{shown}`"
        sink.add(WrongSetting(span, leaf.key, needs, f"port `{name}: {port.type}`").diagnostic())
    return True  # a port of the wrong type is not given by callers either


def state_rules(
    states: list[syntax.State], signature: ir.Signature, scope: Scope, sink: Sink
) -> tuple[ir.StateRule, ...]:
    """The rules of a stage's states; those with mistakes are reported and left out."""
    found: dict[str, ir.StateRule] = {}
    taken = {p.name: "a port" for p in (*signature.inputs, *signature.outputs)}
    for state in states:
        name = state.name.text
        rule = _state(state, signature, scope, sink)
        if name in taken:
            _bad(state, f"is called like {taken[name]}", "give it a name of its own", sink)
        elif rule is not None:
            found[name] = rule
        taken[name] = "another state"
    return tuple(found.values())


def _state(state: syntax.State, signature: ir.Signature, scope: Scope, sink: Sink) -> ir.StateRule | None:
    kind = type_of(state.type, scope, sink, state.name.text)
    if kind is None:
        return None
    shown = f"{state.name.text}: {kind}"
    if state.init is None:
        fill = "null" if kind.dtype.name == "json" and not kind.dims else "zeros()"
        _bad(state, "has no value to begin with", f"write `state {shown} = {fill}`", sink)
        return None
    if kind.stream or kind.optional:
        _bad(state, "must be a value that is there", f"write `{kind.dtype}{_dims(kind)}`", sink)
        return None
    why = _shape(kind, signature)
    if why:
        _bad(state, f"has no shape of its own: {why}", "write numbers, or a name for a size that grows", sink)
        return None
    init = _init(state, kind, scope, sink)
    if init is None:
        return None
    return ir.StateRule(state.name.text, kind, init.value, state.tensor_in or "", state.tensor_out or "")


def _shape(kind: TensorType, signature: ir.Signature) -> str:
    """Why the shape is not known when a sequence begins; "" if it is. A size by a name of its own is 0 then."""
    if kind.has_rows:
        return "`*` counts the rows of a call"
    sizes = sizes_of((*signature.inputs, *signature.outputs))
    for dim in kind.dims:
        if not isinstance(dim, Sized) or not dim.size.is_atom:
            return f"`{dim}` is not one size"
        if dim.size.symbol is not None and dim.size.symbol.name in sizes:
            return f"`{dim}` is a size of each call"
    return ""


def _init(state: syntax.State, kind: TensorType, scope: Scope, sink: Sink) -> Typed | None:
    """What a sequence begins with: `zeros()`, one value for every item, or all items."""
    assert state.init is not None
    if isinstance(state.init, syntax.Call) and _fills(state.init):
        if not kind.dtype.numeric:
            return Typed(kind, {"string": "", "bytes": b"", "json": None}[kind.dtype.name])
        return Typed(kind, "zeros")
    given = evaluate(state.init, scope, sink)
    if given is None:
        return None
    target = kind if isinstance(given.value, list | tuple) else TensorType(kind.dtype)
    result = fit(given, target)
    if isinstance(result, Problem):
        sink.add(BadState(state.init.span, state.name.text, f"can not begin so: {result.text}").diagnostic())
        return None
    return result


def _fills(call: syntax.Call) -> bool:
    return isinstance(call.callee, syntax.Name) and call.callee.text == "zeros" and not call.args


def _dims(kind: TensorType) -> str:
    return f"[{', '.join(map(str, kind.dims))}]" if kind.dims else ""


def _bad(state: syntax.State, why: str, advice: str, sink: Sink) -> None:
    sink.add(BadState(state.name.span, state.name.text, why, advice).diagnostic())
