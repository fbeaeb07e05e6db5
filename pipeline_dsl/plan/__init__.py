"""What the executor runs: frozen, flat and indexed by small integers. Made from a checked `ir.Program` only.

A `PipelinePlan` is a tuple of `Step`s in topological order. Values between steps are numbered slots; a step names the
slots it reads and writes and the steps that read what it wrote. `StagePlan`s are shared by all steps that call them.
The executor reads nothing but this; `plan_text` prints it.
"""

from __future__ import annotations

from .device_streams import OUTPUT, DeviceStreams, Transfer
from .fused import Fed, FusedPlan, Given, Made, MemberPlan
from .pipelines import AdmissionPolicy, InputPlan, Note, OutputPlan, PipelinePlan, Plan, RatePolicy
from .stages import (
    AUTO,
    AheadPolicy,
    BatchPolicy,
    CachePolicy,
    DeviceOverride,
    Form,
    Gpu,
    Hardware,
    LevelPolicy,
    PortPlan,
    QueuePolicy,
    ResourceClaim,
    SequenceControl,
    StagePlan,
    Warmup,
    device_of,
)
from .steps import (
    INGRESS,
    ArmPlan,
    BranchPlan,
    CollectPlan,
    ContextPlan,
    Control,
    MapPlan,
    RegionPlan,
    RouteArmPlan,
    RoutePlan,
    Slot,
    Source,
    Step,
    StreamOfPlan,
    TryPlan,
    regions,
)

__all__ = [
    "AUTO",
    "INGRESS",
    "OUTPUT",
    "AdmissionPolicy",
    "AheadPolicy",
    "ArmPlan",
    "BatchPolicy",
    "BranchPlan",
    "CachePolicy",
    "CollectPlan",
    "ContextPlan",
    "Control",
    "DeviceOverride",
    "DeviceStreams",
    "Fed",
    "Form",
    "FusedPlan",
    "Given",
    "Gpu",
    "Hardware",
    "InputPlan",
    "LevelPolicy",
    "Made",
    "MapPlan",
    "MemberPlan",
    "Note",
    "OutputPlan",
    "PipelinePlan",
    "Plan",
    "PortPlan",
    "QueuePolicy",
    "RatePolicy",
    "RegionPlan",
    "ResourceClaim",
    "RouteArmPlan",
    "RoutePlan",
    "SequenceControl",
    "Slot",
    "Source",
    "StagePlan",
    "Step",
    "StreamOfPlan",
    "Transfer",
    "TryPlan",
    "Warmup",
    "device_of",
    "regions",
]
