"""`ragged { L = pad(0, buckets = [32, 64], mask = m) | pack(offsets = o) | reject }` -> `ir.RaggedRule`."""

from __future__ import annotations

from typing import Any, Literal

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import TooLarge, UnknownSetting, WrongSetting
from pipeline_dsl.settings import KeySpec
from pipeline_dsl.types import Ragged

from .blocks import Leaf
from .scope import Scope
from .setting_values import name_in, read_setting, word_of
from .values import evaluate

_BUCKETS = KeySpec("buckets", "ints", (), "contract", "lengths that `pad` rounds up to", minimum=1)
_HINT = "`pad(0, buckets = [32, 64])`, `pack(offsets = port)` or `reject`"
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "pad": ("value", "buckets", "mask", "lengths"),
    "pack": ("offsets", "lengths"),
}


def ragged_rule(leaf: Leaf, dim: str, signature: ir.Signature, scope: Scope, sink: Sink) -> ir.RaggedRule | None:
    """The rule for one ragged size of the stage; None after reporting that there is no such size.

    A rule with mistakes is reported and stands as it could be read, so that calls are not told it is missing."""
    known = ragged_sizes(signature)
    if dim not in known:
        place = "`ragged`, which takes sizes with `~` of inputs"
        sink.add(UnknownSetting(leaf.span, dim, place, known, "size").diagnostic())
        return None
    expr = leaf.setting.value
    if word_of(expr) == "reject":
        return ir.RaggedRule(dim, "reject")
    word = word_of(expr.callee) if isinstance(expr, syntax.Call) else word_of(expr)
    if word not in _ARGUMENTS:
        found = f"`{expr.span.text}`"
        sink.add(WrongSetting(expr.span, leaf.key, "`pad`, `pack` or `reject`", found, _HINT).diagnostic())
        return ir.RaggedRule(dim, "pad")
    args = expr.args if isinstance(expr, syntax.Call) else ()
    how: Literal["pad", "pack"] = "pad" if word == "pad" else "pack"
    fields = _fields(how, args, signature, scope, sink)
    rule = ir.RaggedRule(dim, how, **fields)
    _within_bounds(leaf, rule, signature, sink)
    return rule


def ragged_sizes(signature: ir.Signature) -> tuple[str, ...]:
    """Names in the ragged dims of inputs, in order."""
    found: dict[str, None] = {}
    for port in signature.inputs:
        for dim in port.type.dims:
            if isinstance(dim, Ragged):
                found |= dict.fromkeys(sorted(s.name for s in dim.size.symbols))
    return tuple(found)


def _fields(
    how: Literal["pad", "pack"],
    args: tuple[syntax.Argument, ...],
    signature: ir.Signature,
    scope: Scope,
    sink: Sink,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for position, arg in enumerate(args):
        name = arg.name.text if arg.name else ("value" if how == "pad" else "offsets") if position == 0 else ""
        if name not in _ARGUMENTS[how]:
            shown = name or arg.span.text
            span = arg.name.span if arg.name else arg.span
            sink.add(UnknownSetting(span, shown, f"`{how}(..)`", _ARGUMENTS[how]).diagnostic())
        elif name == "value":
            found |= _pad_value(arg, scope, sink)
        elif name == "buckets":
            value = read_setting(_BUCKETS, "buckets", arg.value, scope, sink)
            found["buckets"] = tuple(sorted(set(value[0]))) if value else ()
        else:
            found |= _port(name, arg, signature, sink)
    return found


def _pad_value(arg: syntax.Argument, scope: Scope, sink: Sink) -> dict[str, Any]:
    given = evaluate(arg.value, scope, sink)
    if given is None:
        return {}
    if isinstance(given.value, int | float | str) and given.type.dtype.kind != "setting":
        return {"value": given.value}
    needs = "one number or string to fill with"
    sink.add(WrongSetting(arg.span, "pad", needs, str(given.type), "`pad(0)`").diagnostic())
    return {}


def _port(name: str, arg: syntax.Argument, signature: ir.Signature, sink: Sink) -> dict[str, str]:
    """`mask = port`: an input that the runtime fills."""
    port = name_in(arg.value)
    ports = tuple(p.name for p in signature.inputs)
    if port in ports:
        return {name: port}
    place = f"`{name}`, which takes an input"
    sink.add(UnknownSetting(arg.value.span, port or arg.value.span.text, place, ports, "port").diagnostic())
    return {}


def _within_bounds(leaf: Leaf, rule: ir.RaggedRule, signature: ir.Signature, sink: Sink) -> None:
    """E0606: a bucket that no value may reach."""
    limit = upper_bound(rule.dim, signature)
    if rule.buckets and limit is not None and rule.buckets[-1] > limit:
        reason = f"`where {rule.dim} <= {limit}`"
        sink.add(TooLarge(leaf.setting.value.span, "buckets", rule.buckets[-1], limit, reason).diagnostic())


def upper_bound(size: str, signature: ir.Signature) -> int | None:
    """The largest number that the bounds of a signature allow for a size name; None where there is none."""
    limits = []
    for bound in signature.bounds:
        flipped = bound.op in (">=", ">")
        left, right = (bound.right, bound.left) if flipped else (bound.left, bound.right)
        if left.symbol is not None and left.symbol.name == size and right.value is not None:
            limits.append(right.value - (bound.op in ("<", ">")))
    return min(limits, default=None)
