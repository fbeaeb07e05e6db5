"""`tensors { port = "name" }`: which tensor of the artifact a port stands for."""

from __future__ import annotations

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import UnknownSetting, WrongSetting

from .blocks import Leaf
from .scope import Scope
from .setting_values import word_of
from .values import evaluate

Names = dict[str, ir.TensorName]


def tensor_name(
    leaf: Leaf, port: str, signature: ir.Signature, inputs: Names, outputs: Names, scope: Scope, sink: Sink
) -> None:
    """Enter one tensor name on the side it belongs to: `x`, or `in.x` and `out.x` where both sides have `x`."""
    side, _, name = port.rpartition(".")
    found = _port(leaf, side, name, signature, sink)
    if found is None:
        return
    value = _value(leaf, found[0], scope, sink)
    if value is not None:
        (inputs if found[1] else outputs)[name] = value


def _port(leaf: Leaf, side: str, name: str, signature: ir.Signature, sink: Sink) -> tuple[ir.Port, bool] | None:
    """The port and whether it is an input; None after reporting. Equal ports of both sides are equal values."""
    inputs = [p for p in signature.inputs if p.name == name and side in ("", "in")]
    outputs = [p for p in signature.outputs if p.name == name and side in ("", "out")]
    if inputs and outputs:
        hint = f"write `in.{name} = ..` or `out.{name} = ..`"
        sink.add(WrongSetting(leaf.span, leaf.key, "one port", "an input and an output", hint).diagnostic())
        return None
    if inputs or outputs:
        return (inputs or outputs)[0], bool(inputs)
    known = tuple(p.name for p in (*signature.inputs, *signature.outputs))
    sink.add(UnknownSetting(leaf.span, name, "`tensors`", known, "port").diagnostic())
    return None


def _value(leaf: Leaf, port: ir.Port, scope: Scope, sink: Sink) -> ir.TensorName | None:
    expr = leaf.setting.value
    if not isinstance(expr, syntax.Call) or word_of(expr.callee) != "tensor":
        return _plain(leaf, expr, scope, sink)
    permute: tuple[int, ...] = ()
    name: ir.TensorName | None = None
    for arg in expr.args:
        if arg.name is None:
            name = _plain(leaf, arg.value, scope, sink)
        elif arg.name.text == "permute":
            permute = _permutation(arg, port, scope, sink)
        else:
            sink.add(UnknownSetting(arg.name.span, arg.name.text, "`tensor(..)`", ("permute",)).diagnostic())
    return None if name is None else ir.TensorName(name.name, permute)


def _plain(leaf: Leaf, expr: syntax.Expr, scope: Scope, sink: Sink) -> ir.TensorName | None:
    given = evaluate(expr, scope, sink)
    if given is None:
        return None
    if isinstance(given.value, str) and given.value:
        return ir.TensorName(given.value)
    hint = '`"name"`, or `tensor("name", permute = [0, 2, 1])`'
    sink.add(WrongSetting(expr.span, leaf.key, "the name of a tensor", str(given.type), hint).diagnostic())
    return None


def _permutation(arg: syntax.Argument, port: ir.Port, scope: Scope, sink: Sink) -> tuple[int, ...]:
    given = evaluate(arg.value, scope, sink)
    if given is None:
        return ()
    axes = given.value
    if isinstance(axes, list) and port.type.rank in (None, len(axes)) and set(axes) == set(range(len(axes))):
        return tuple(axes)
    count = f"the {port.type.rank} axes of {port.type}" if port.type.rank is not None else "all axes"
    needs = f"each of {count} once"
    sink.add(WrongSetting(arg.span, "permute", needs, str(axes), "`[0, 2, 3, 1]`").diagnostic())
    return ()
