"""Pipelines over stages: ports, steps, the door; and the plan as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_dsl.ir import Bound, Constant, Graph, ParamValue
from pipeline_dsl.types import TensorType

from .device_streams import DeviceStreams, Transfer
from .fused import FusedPlan
from .stages import Hardware, StagePlan
from .steps import Slot, Step, regions


@dataclass(frozen=True, slots=True)
class InputPlan:
    """An input of a pipeline."""

    name: str
    type: TensorType
    slot: int
    has_default: bool = False
    default: Any = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """An output of a pipeline."""

    name: str
    type: TensorType
    source: Slot | Constant
    labels: str = ""
    """Path of the class names, if the stage that makes it has them."""
    doc: str = ""


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """The pipeline's door. 0: no limit."""

    max_inflight: int = 1024
    """Requests inside."""
    max_bytes: int = 0
    """Bytes of inputs inside."""
    queue_max: int = 1024
    """Requests that may wait before the door."""
    queue_timeout_ns: int = 0


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """Requests let in: `rate` in `per_ns`, saved up to `burst`; apart for each value of the header `by`, if given."""

    rate: float
    per_ns: int = 1_000_000_000
    burst: int = 1
    by: str = ""


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """One pipeline: its steps in topological order, and its door."""

    name: str
    inputs: tuple[InputPlan, ...]
    outputs: tuple[OutputPlan, ...]
    steps: tuple[Step, ...]
    """Of the pipeline itself; constructs hold further ones. `every_step` gives all."""
    slots: int
    """Number of slots, those of regions included; inputs come first."""
    bounds: tuple[Bound, ...] = ()
    timeout_ns: int = 0
    """Of a whole request; 0: none."""
    admission: AdmissionPolicy = AdmissionPolicy()
    rate: RatePolicy | None = None
    sequence: bool = False
    """It takes requests of sequences only."""
    doc: str = ""
    device_streams: tuple[DeviceStreams, ...] = ()
    """Of `steps`, one for each device other than the host; regions have their own."""
    transfers: tuple[Transfer, ...] = ()
    """Values that go from one device to another, in the order of the steps that read them, outputs last."""
    graph: Graph | None = field(default=None, compare=False, repr=False)
    """What it was planned from, for pictures: nothing that runs reads it."""

    def _repr_svg_(self) -> str | None:
        """The pipeline as a picture, which notebooks show."""
        return None if self.graph is None else self.graph._repr_svg_()

    @property
    def every_step(self) -> Iterator[Step]:
        """All steps in the order of their numbers, a construct before those in its regions."""
        return _walk(self.steps)


def _walk(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for region in regions(step.control):
            yield from _walk(region.steps)


@dataclass(frozen=True, slots=True)
class Note:
    """Something `pipectl plan` says about a place (a node id, a stage, a pipeline)."""

    place: str
    kind: Literal["batching", "run", "control", "copy", "setting", "artifact"]
    text: str
    bytes: int = 0
    """Per row, for a copy."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that runs: the stages, the pipelines over them, and what is said about both."""

    stages: tuple[StagePlan, ...]
    pipelines: Mapping[str, PipelinePlan]
    hardware: Hardware
    path: str = ""
    """The main file."""
    profile: str = ""
    params: Mapping[str, ParamValue] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    resources: Mapping[str, int] = field(default_factory=dict)
    """Units of shared resources that the profile says there are; at least the largest claim."""
    fused: tuple[FusedPlan, ...] = ()
    """Sets of steps that run as one; no step and no stage is in two of them."""
    serial: bool = False
    """For debugging: each device has one stream, and the host waits for it after each stage."""
    digest: str = ""
    """sha256 of the program's canonical text and parameters."""

    def _repr_html_(self) -> str:
        """What `pipectl plan --format html` shows, for notebooks."""
        from pipeline_dsl.plan_html import plan_html  # prints plans, so it can not be loaded before them

        return plan_html(self)
