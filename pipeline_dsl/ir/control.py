"""Nodes that have regions inside: `if` and `match`, `route`, `map`, `try`.

A region is entered with elements (requests; items inside `map`) and gives one value for each of its construct's
results. Its nodes may read nodes of the regions around it: those values are its captures. What a region names
stays inside; only its yields leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pipeline_dsl.types import TensorType

from .nodes import Given, Node, Operand

if TYPE_CHECKING:
    from .graph import AnyNode


@dataclass(frozen=True, slots=True)
class Region:
    """Nodes in definition order, `given` ones first, and what they make of an element."""

    name: str
    """`then`, `else`, `case_1`, an arm's name, `body`, `fallback`."""
    given: tuple[Given, ...]
    nodes: tuple[AnyNode, ...]
    """Without the given ones."""
    yields: tuple[Operand, ...]
    """One for each result of the construct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control(Node):
    """Base of the constructs. `results`: a name for each target (`_1` for the first `_`), and its type."""

    results: tuple[tuple[str, TensorType], ...]


@dataclass(frozen=True, slots=True)
class Arm:
    """`values`: what the subject equals for this arm; None: anything else."""

    values: tuple[Any, ...] | None
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch(Control):
    """`if` and `match`: each element takes the first arm whose values hold its subject.

    Without an arm for anything else the other elements have no results, which are optional then."""

    subject: Operand
    """bool, integer or string of rank 0."""
    arms: tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class RouteArm:
    """`share` of all elements, 0 to 1; the shares of a route's arms sum to 1."""

    name: str
    share: float
    region: Region


@dataclass(frozen=True, slots=True)
class ShadowArm:
    """Runs for `sample` (0 to 1) of the elements; nobody sees its results, and its region yields nothing."""

    name: str
    sample: float
    region: Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Control):
    """Each element takes one arm: by a stable hash of its key, or at random where there is none."""

    key: Operand | None
    arms: tuple[RouteArm, ...]
    shadows: tuple[ShadowArm, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(Control):
    """The body runs for each item along the first dim of the sources, or for each element of a stream.

    Results are the items' values with that dim in front, or streams of them. With `on_error = mark` the last result is
    `ok: bool[N]`, which the body does not yield."""

    sources: tuple[Operand, ...]
    body: Region
    """Its `given` are the items, one a source."""
    maximum: int | None = None
    """More items are an error."""
    order: Literal["keep", "any"] = "keep"
    on_error: Literal["fail", "mark", "drop"] = "fail"
    in_flight: int | None = None
    """Items of one element under way at a time."""
    over_stream: bool = False
    """It has one source, a stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Control):
    """The body, and the fallback where it fails, is late or refused. The fallback's `given` is the error, if named."""

    body: Region
    fallback: Region
    timeout_ns: int | None = None
    """Of the whole body, retries included."""
    retries: int = 0
    hedge_ns: int | None = None
    """When a second attempt starts beside the first."""
    first_ns: int | None = None
    """Of the first element of its one stream; a later failure ends the stream."""
