"""Built-in functions that are nodes of their own: `collect`, `stream_of`, and what a request brings beside its inputs.

Takes the arguments of a call as values, adds the node, gives its value; None after reporting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline_dsl import ir
from pipeline_dsl.errors.calls import TensorOperand, WrongCount
from pipeline_dsl.errors.names import NotComputable
from pipeline_dsl.errors.streams import NoStream
from pipeline_dsl.errors.types import OperandMayBeAbsent, OperandMismatch
from pipeline_dsl.operations import NO_ELEMENTS, Problem, Typed, apply, scalar
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.source import Span
from pipeline_dsl.types import Dim, Ragged, Sized, TensorType

from .body import Body
from .regions import Value

What = Literal["request_id", "correlation_id", "sequence_start", "sequence_end"]

CONTEXTS: dict[str, tuple[What, TensorType]] = {
    "request_id": ("request_id", scalar("string")),
    "correlation_id": ("correlation_id", scalar("string")),
    "sequence_start": ("sequence_start", scalar("bool")),
    "sequence_end": ("sequence_end", scalar("bool")),
}
"""Functions without arguments: what they ask for, and what they give. A correlation id that is a number is its text."""

HEADER = scalar("string", optional=True)
"""What `header("x")` gives: not every request has it."""

NAMES = frozenset({"collect", "stream_of", "header", *CONTEXTS})


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a built-in: its arguments, and where they and it stand."""

    function: str
    values: Sequence[Value | None]
    spans: Sequence[Span]
    span: Span
    name: str | None
    """Of its node, where a target gives it one."""


def built_in(body: Body, use: Use) -> Value | None:
    """The value of one of `NAMES`."""
    given = [v for v in use.values if v is not None]
    if len(given) < len(use.values):
        body.failed = True
        return None
    if use.function == "stream_of":
        return _stream_of(body, use, given)
    wanted = 1 if use.function in ("collect", "header") else 0
    if len(given) != wanted:
        text = f"`{use.function}` takes {'one argument' if wanted else 'no arguments'}, found {len(given)}"
        body.report(WrongCount(use.span, text, _DOCS[use.function]))
        return None
    if use.function == "collect":
        return _collect(body, use, given[0])
    return _header(body, use, given[0]) if use.function == "header" else _context(body, use)


_DOCS = {
    "collect": "`collect(x)`: all elements of a stream as one value, once it has ended",
    "header": '`header("x")`: a header of the request, absent if it has none of that name',
    "request_id": "`request_id()`: the id of the request",
    "correlation_id": "`correlation_id()`: the id of the sequence that the request belongs to, as text",
    "sequence_start": "`sequence_start()`: whether the request begins its sequence",
    "sequence_end": "`sequence_end()`: whether the request ends its sequence",
}


# ---- streams


def _collect(body: Body, use: Use, value: Value) -> Value | None:
    kind = value.type
    if not kind.stream:
        body.report(NoStream(use.spans[0], value.shown, str(kind)))
        return None
    if kind.optional:
        text = f"{value.shown} may be absent ({kind})"
        body.report(OperandMayBeAbsent(use.spans[0], text, "collect it where it is there: in `if present(..)`"))
        return None
    if kind.is_ragged or kind.has_rest:
        text = f"elements of {kind} can not be put together: their sizes have no place in one value"
        body.report(TensorOperand(use.spans[0], text, "take them one by one with `map`"))
        return None
    node = body.ids.of(use.name, "collect")
    count = Size.of(Symbol("N", body.origin("collect", use.span, node)))
    found = TensorType(kind.dtype, (Sized(count), *map(_of_each, kind.dims)))
    body.nodes.append(ir.Collect(id=node, span=use.span, source=body.operand(value), type=found))
    return Value(Typed(found), ir.Ref(node, "value"), use.span)


def _of_each(dim: Dim) -> Dim:
    """A size that some call made may be another for each element."""
    made = isinstance(dim, Sized) and any(symbol.origin for symbol in dim.size.symbols)
    return Ragged(dim.size) if made and isinstance(dim, Sized) else dim


def _stream_of(body: Body, use: Use, values: Sequence[Value]) -> Value | None:
    if not values:
        return Value(NO_ELEMENTS, ir.Constant(NO_ELEMENTS.value, NO_ELEMENTS.type), use.span)
    for at, value in enumerate(values):
        if value.type.stream:
            text = f"{value.shown} is a stream already ({value.type})"
            body.report(OperandMismatch(use.spans[at], text, "give its elements, or the stream itself"))
            return None
        if value.type.optional:
            body.report(OperandMayBeAbsent(use.spans[at], f"{value.shown} may be absent ({value.type})", ""))
            return None
    same = _of_one_type(body, use, values)
    if same is None:
        return None
    node = body.ids.of(use.name, "stream_of")
    found = replace(same[0].type, stream=True)
    elements = tuple(body.operand(value) for value in same)
    body.nodes.append(ir.StreamOf(id=node, span=use.span, elements=elements, type=found))
    return Value(Typed(found), ir.Ref(node, "value"), use.span)


def _of_one_type(body: Body, use: Use, values: Sequence[Value]) -> list[Value] | None:
    """The elements in one type, plain numbers in the dtype of the others."""
    if all(v.type == values[0].type and not v.typed.known for v in values):
        return list(values)
    applied = apply("list", [v.typed for v in values])
    if isinstance(applied, Problem):
        at = max(applied.operand, 0)
        text = applied.text.replace("items of a list have", "elements of a stream have")
        body.report(OperandMismatch(use.spans[at], text, applied.help))
        return None
    made = []
    for value, typed in zip(values, applied.operands, strict=True):
        kind = applied.result.type.with_dims(typed.type.dims)
        known = ir.Constant(typed.value, kind)
        made.append(replace(value, typed=Typed(kind, typed.value), expression=known) if typed.known else value)
    return made


# ---- what a request brings


def _context(body: Body, use: Use) -> Value:
    what, kind = CONTEXTS[use.function]
    node = body.ids.of(use.name, use.function)
    return _added(body, use, ir.Context(id=node, span=use.span, what=what, type=kind))


def _header(body: Body, use: Use, name: Value) -> Value | None:
    if not name.typed.known or not isinstance(name.typed.value, str) or not name.typed.value:
        advice = 'write it out: `header("x-user")`'
        body.report(NotComputable(use.spans[0], "the name of a header must be known at compile time", advice))
        return None
    node = body.ids.of(use.name, "header")
    argument = name.typed.value.lower()
    return _added(body, use, ir.Context(id=node, span=use.span, what="header", argument=argument, type=HEADER))


def _added(body: Body, use: Use, node: ir.Context) -> Value:
    body.nodes.append(node)
    return Value(Typed(node.type), ir.Ref(node.id, "value"), use.span)
