"""One operation on values of a body: typed and folded by the table that the executor runs (`operations`).

Gives the value, whose expression is an `ir.Constant` if all operands are known and an `ir.Apply` if not, or None
after reporting why the operands do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_dsl import ir
from pipeline_dsl.errors.calls import TensorOperand, WrongCount
from pipeline_dsl.errors.names import NotComputable, TemplateMismatch
from pipeline_dsl.errors.types import OperandMayBeAbsent, OperandMismatch
from pipeline_dsl.operations import OPERATIONS, Applied, Problem, apply
from pipeline_dsl.source import Span

from .body import Body, constant
from .regions import Value


def applied(body: Body, op: str, values: Sequence[Value | None], spans: Sequence[Span], span: Span) -> Value | None:
    """One operation on values; folded where all of them are known."""
    given = [v for v in values if v is not None]
    if len(given) < len(values):
        body.failed = True
        return None
    result = apply(op, [v.typed for v in given])
    if isinstance(result, Problem):
        _report(body, result, spans, span, op)
        return None
    if result.result.known:
        return constant(result.result, span)
    return Value(result.result, ir.Apply(op, tuple(_leaves(result, given))), span)


def _leaves(applied: Applied, values: Sequence[Value]) -> list[ir.Expression]:
    """Operands of an `ir.Apply`; constants in the dtype of their neighbours."""
    return [
        ir.Constant(typed.value, typed.type) if typed.known else value.expression
        for typed, value in zip(applied.operands, values, strict=True)
    ]


def _report(body: Body, problem: Problem, spans: Sequence[Span], whole: Span, op: str) -> None:
    at = spans[problem.operand] if 0 <= problem.operand < len(spans) else whole
    if problem.kind == "tensor":
        body.report(TensorOperand(at, problem.text, problem.help))
    elif problem.kind == "optional":
        body.report(OperandMayBeAbsent(at, problem.text, problem.help))
    elif problem.kind == "count":
        body.report(WrongCount(at, problem.text, OPERATIONS[op].doc))
    elif problem.kind == "template":
        body.report(TemplateMismatch(at, problem.text, problem.help))
    elif problem.kind == "value":
        body.report(NotComputable(at, problem.text, problem.help))
    else:
        body.report(OperandMismatch(at, problem.text, problem.help))
