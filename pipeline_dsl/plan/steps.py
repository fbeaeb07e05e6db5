"""Steps of a pipeline, and the constructs that hold regions of further steps.

A region is a small pipeline: slots it is entered with, steps over them, and what it yields. Slots are numbered through
the whole pipeline, so a step in a region names an outer value by the number it has outside; the region lists it among
its `captured`, and the construct reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline_dsl.ir import Apply, Binding, Constant
from pipeline_dsl.types import TensorType

from .device_streams import DeviceStreams

INGRESS = -1
"""Producer index of what a pipeline or a region is entered with."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A value between steps, by its number."""

    index: int


Source = Slot | Constant | None
"""Where a step's argument comes from; None for an absent optional."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node: a call (`stage` >= 0), a compute step (`expression`) or a construct (`control`)."""

    index: int
    """Its own in its pipeline, steps in regions included; they are numbered in definition order."""
    node: str
    """Full id: `embed.encoder`."""
    stage: int
    """Index into `Plan.stages`; -1 for a compute step."""
    binding: Binding
    args: tuple[Source, ...]
    """In port order of the stage; for a compute step the slots its expression reads; for a construct what it reads
    itself (subject, key, sources), then the captures of its regions, each slot once."""
    outputs: tuple[int, ...]
    """Slots written, in port order."""
    types: tuple[TensorType, ...]
    """Types of the outputs at this place."""
    producers: tuple[int, ...]
    """Steps of its own region (or INGRESS: what that is entered with) whose slots it reads, ascending, each once."""
    consumers: tuple[int, ...]
    """Steps that read its slots, ascending, each once."""
    level: int
    """Longest path from the inputs of its region."""
    run: int
    """Number of the run it belongs to: steps that follow one another without a queue."""
    expression: Slot | Constant | Apply | None = None
    """Of a compute step; leaves are `Slot` and `Constant`."""
    timeout_ns: int | None = None
    priority: int | None = None
    control: Control | None = None
    ports: tuple[str, ...] = ()
    """Names of the outputs of a construct, for people; those of a call are its stage's."""
    stream: int = -1
    """Of the stage's device, one of its region's `device_streams`; -1 for what runs on the host."""
    signals: bool = False
    """A step on another stream of the device waits for it."""
    waits: tuple[int, ...] = ()
    """Steps on other streams of the device that it has to wait for, ascending."""


# ---- constructs


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """One arm or body."""

    name: str
    given: tuple[int, ...]
    """Slots that the construct itself fills: items of a map, the error of a fallback."""
    captured: tuple[int, ...]
    """Slots of outer values that it reads, in the order of the construct's `args`."""
    steps: tuple[Step, ...]
    yields: tuple[Source, ...]
    """One for each output of the construct (without `ok` of a map that marks)."""
    names: tuple[str, ...] = ()
    """Of the given slots, for people: node ids."""
    device_streams: tuple[DeviceStreams, ...] = ()
    """Of its own steps, those of constructs in it left out; one for each device other than the host."""


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """`values`: what the subject equals; None: anything else."""

    values: tuple[Any, ...] | None
    region: RegionPlan


@dataclass(frozen=True, slots=True)
class BranchPlan:
    """`if`, `match`: args[0] is the subject. Elements that match no arm have no results."""

    arms: tuple[ArmPlan, ...]


@dataclass(frozen=True, slots=True)
class RouteArmPlan:
    """`share` of all elements, 0 to 1; of a shadow, the share it is tried on."""

    name: str
    share: float
    region: RegionPlan


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """args[0] is the key where `keyed`."""

    keyed: bool
    arms: tuple[RouteArmPlan, ...]
    shadows: tuple[RouteArmPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class MapPlan:
    """The first `sources` args are what it goes over. The step's `types` are those of its results."""

    sources: int
    body: RegionPlan
    maximum: int | None = None
    order: Literal["keep", "any"] = "keep"
    on_error: Literal["fail", "mark", "drop"] = "fail"
    in_flight: int | None = None
    over_stream: bool = False


@dataclass(frozen=True, slots=True)
class TryPlan:
    """See `ir.Try`."""

    body: RegionPlan
    fallback: RegionPlan
    timeout_ns: int | None = None
    retries: int = 0
    hedge_ns: int | None = None
    first_ns: int | None = None


@dataclass(frozen=True, slots=True)
class CollectPlan:
    """args[0] is a stream; the output is all its elements."""


@dataclass(frozen=True, slots=True)
class StreamOfPlan:
    """The output is a stream of the args."""


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """See `ir.Context`."""

    what: Literal["correlation_id", "sequence_start", "sequence_end", "request_id", "header"]
    argument: str = ""


Control = BranchPlan | RoutePlan | MapPlan | TryPlan | CollectPlan | StreamOfPlan | ContextPlan


def regions(control: Control | None) -> tuple[RegionPlan, ...]:
    """The regions of a construct, in the order of the text; none for what has no regions."""
    match control:
        case BranchPlan(arms=arms):
            return tuple(arm.region for arm in arms)
        case RoutePlan(arms=arms, shadows=shadows):
            return tuple(arm.region for arm in (*arms, *shadows))
        case MapPlan(body=body):
            return (body,)
        case TryPlan(body=body, fallback=fallback):
            return (body, fallback)
    return ()
