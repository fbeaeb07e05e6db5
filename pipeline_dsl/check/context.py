"""What a request brings beside its inputs: `correlation_id()`, `sequence_start()`, `sequence_end()`.

Each becomes an `ir.Context` node, one for each place that asks. Whether its pipeline takes such requests is looked at
when the graph is whole (`sequence_flow`).
"""

from __future__ import annotations

from typing import Literal

from pipeline_dsl import ir, syntax
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.errors.calls import WrongCount
from pipeline_dsl.operations import Typed
from pipeline_dsl.types import TensorType

from .body import Body
from .regions import Value

Sequences = Literal["correlation_id", "sequence_start", "sequence_end"]

CONTEXT: dict[str, tuple[Sequences, TensorType]] = {
    "correlation_id": ("correlation_id", TensorType(DTYPES["string"])),
    "sequence_start": ("sequence_start", TensorType(DTYPES["bool"])),
    "sequence_end": ("sequence_end", TensorType(DTYPES["bool"])),
}
"""By name of the function: what it asks for, and of what type that is. A correlation id that is a number is its text."""


def context_value(body: Body, expr: syntax.Call, name: str) -> Value | None:
    """The value of one of these functions; they take no arguments."""
    what, kind = CONTEXT[name]
    extra = next(iter((*expr.args, *expr.options)), None)
    if extra is not None:
        body.report(WrongCount(extra.span, f"`{name}` takes no arguments", f"`{name}()`"))
        return None
    node = body.ids.of(None, name)
    body.nodes.append(ir.Context(id=node, span=expr.span, what=what, type=kind))
    return Value(Typed(kind), ir.Ref(node, "value"), expr.span)
