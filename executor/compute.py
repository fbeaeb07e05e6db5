"""Compute steps: scalar expressions and built-in functions, evaluated for one element at a time.

An expression becomes nested closures over the values of the step's arguments; the operations are those of
`pipeline_dsl.operations`, so that folding at compile time and running agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backends.values import Value
from pipeline_dsl.ir import Constant
from pipeline_dsl.operations import OPERATIONS
from pipeline_dsl.operations.convert import to_dtype
from pipeline_dsl.plan import Slot, Step

Evaluate = Callable[[Sequence[Value]], Value]


def compiled(step: Step) -> Evaluate:
    """The function from a compute step's argument values, in order, to its value."""
    positions = {arg.index: i for i, arg in enumerate(step.args) if isinstance(arg, Slot)}
    evaluate = _closure(step.expression, positions)
    kind = step.types[0]
    return lambda values: to_dtype(evaluate(values), kind)


def _closure(expression: Any, positions: dict[int, int]) -> Evaluate:
    if isinstance(expression, Slot):
        position = positions[expression.index]
        return lambda values: values[position]
    if isinstance(expression, Constant):
        constant = expression.value
        return lambda values: constant
    compute = OPERATIONS[expression.op].compute
    parts = [_closure(arg, positions) for arg in expression.args]
    return lambda values: compute(*[part(values) for part in parts])
