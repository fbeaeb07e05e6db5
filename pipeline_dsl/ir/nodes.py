"""Nodes of a graph that have no nodes inside: inputs, calls, expressions, outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .stages import Port

Binding = Literal["rows", "lift", "each"]
"""How a call takes its elements (requests; items inside `map`): `rows`, the stage has `*` and each element brings any
number of rows; `lift`, the stage has `*` and each element is one row; `each`, the stage has no `*` and runs once for
each element."""


@dataclass(frozen=True, slots=True)
class Ref:
    """Output `port` of node `node`."""

    node: str
    port: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known at compile time, as Python data."""

    value: Any
    type: TensorType


Operand = Ref | Constant


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation of `operations.OPERATIONS` on operands: `Apply("+", (Ref, Constant))`."""

    op: str
    args: tuple[Expression, ...]


Expression = Ref | Constant | Apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all nodes."""

    id: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(Node):
    """An input port of the pipeline; its one output has the port's name."""

    port: Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """A call site of a stage."""

    stage: str
    binding: Binding
    args: tuple[tuple[str, Operand | None], ...]
    """Every input port of the stage in order; None for an absent optional."""
    results: tuple[tuple[str, TensorType], ...]
    """Every output port of the stage in order, with its type at this call site."""
    version: int | str | None = None
    timeout_ns: int | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute(Node):
    """A scalar expression or built-in function, evaluated for each element on the host. Its output is `value`."""

    expression: Expression
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Node):
    """An output port of the pipeline."""

    port: Port
    value: Operand


# ---- values that come from elsewhere than a call


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Node):
    """A value that a region is entered with: an item of `map`, the error of a `fallback`. Its output is `value`."""

    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Node):
    """What a request brings beside its inputs: `correlation_id()`, `header("x")`. Its output is `value`."""

    what: Literal["correlation_id", "sequence_start", "sequence_end", "request_id", "header"]
    argument: str = ""
    """Of `header`, in lower case."""
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect(Node):
    """`collect(x)`: all elements of a stream as one value, once it has ended. Its output is `value`."""

    source: Operand
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOf(Node):
    """`stream_of(a, b)`: a stream of these elements. Its output is `value`."""

    elements: tuple[Operand, ...]
    type: TensorType
