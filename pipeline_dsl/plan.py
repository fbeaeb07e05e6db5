"""What the executor runs: frozen, flat and indexed by small integers. Made from a checked `ir.Program` only.

A `PipelinePlan` is a tuple of `Step`s in topological order. Values between steps are numbered slots; a step names the
slots it reads and writes and the steps that read what it wrote. `StagePlan`s are shared by all steps that call them.
The executor reads nothing but this; `plan_text` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .ir import Apply, Binding, Bound, Constant, Contract, ParamValue
from .types import TensorType

INGRESS = -1
"""Producer index of the pipeline's inputs."""

AUTO = -1
"""`delay = auto`: the wait is learnt from arrivals and service times."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as its driver calls it."""

    name: str
    memory: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the machine has; comes as a value, so that planning is pure."""

    cores: int = 1
    memory: int = 0
    """Bytes; 0 where unknown."""
    gpus: tuple[Gpu, ...] = ()


Form = Literal["scalar", "dense", "object", "padded", "packed", "ragged"]
"""How a port's value is handed to an instance.

scalar: a Python value (rank 0 without `*`). dense: an ndarray of the port's dtype. object: an object ndarray (text
kinds with dims). padded: an ndarray padded along its ragged dim. packed: values of all rows one after the other.
ragged: a `Ragged` (python stages without a rule)."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One port of a stage, as the backend sees it."""

    name: str
    type: TensorType
    form: Form
    has_default: bool = False
    default: Any = None
    pad_value: Any = 0
    buckets: tuple[int, ...] = ()
    filled: Literal["", "mask", "lengths", "offsets"] = ""
    """Not given by a caller but made when `filled_from` is padded or packed."""
    filled_from: str = ""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Limits count rows. `max_rows` 0: no limit. `delay_ns`: how long the oldest cohort may wait for company; AUTO."""

    max_rows: int = 0
    delay_ns: int = 0
    preferred: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LevelPolicy:
    """Queue limits of one priority level. `max_rows` 0: none; `timeout_ns` 0: none."""

    max_rows: int = 1024
    timeout_ns: int = 0
    on_timeout: Literal["reject", "delay"] = "reject"
    """delay: it stays, behind everything that is not late."""
    allow_override: bool = False
    """`timeout_ns` is for requests without a deadline of their own; others may wait until theirs."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Level 1 is served first; `levels[n - 1]` is level n."""

    levels: tuple[LevelPolicy, ...] = (LevelPolicy(),)
    default_level: int = 1


@dataclass(frozen=True, slots=True)
class Warmup:
    """Rows and ragged lengths to run before ready."""

    batches: tuple[int, ...] = ()
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    count: int = 1
    data: str = "zero"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage (version, device): what its instances load and how its inbox is served."""

    index: int
    name: str
    """`encoder`, `emb.encoder`; with `@4` for a pinned version; the call site's id for a private copy."""
    version: int | None
    backend: str
    arguments: Mapping[str, Any]
    contract: Contract
    folder: str
    inputs: tuple[PortPlan, ...]
    outputs: tuple[PortPlan, ...]
    bounds: tuple[Bound, ...]
    has_rows: bool
    device: str = "cpu"
    instances: int = 1
    threads: int = 0
    """Compute threads of one instance; 0: cores over concurrent instances."""
    isolate: bool = False
    """Instances run in processes of their own."""
    batching: BatchPolicy = BatchPolicy()
    queue: QueuePolicy = QueuePolicy()
    warmup: Warmup | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Schedule settings that only the backend reads."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A value between steps, by its number."""

    index: int


Source = Slot | Constant | None
"""Where a step's argument comes from; None for an absent optional."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node. Either a call (`stage` >= 0) or a compute step (`expression`)."""

    index: int
    node: str
    """Full id: `embed.encoder`."""
    stage: int
    """Index into `Plan.stages`; -1 for a compute step."""
    binding: Binding
    args: tuple[Source, ...]
    """In port order of the stage; for a compute step the slots its expression reads."""
    outputs: tuple[int, ...]
    """Slots written, in port order."""
    types: tuple[TensorType, ...]
    """Types of the outputs at this place."""
    producers: tuple[int, ...]
    """Steps (or INGRESS) whose slots it reads, ascending, each once."""
    consumers: tuple[int, ...]
    """Steps that read its slots, ascending, each once."""
    level: int
    """Longest path from the inputs."""
    run: int
    """Number of the run it belongs to: steps that follow one another without a queue."""
    expression: Slot | Constant | Apply | None = None
    """Of a compute step; leaves are `Slot` and `Constant`."""
    timeout_ns: int | None = None
    priority: int | None = None


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
class PipelinePlan:
    """One pipeline: its steps in topological order, and its door."""

    name: str
    inputs: tuple[InputPlan, ...]
    outputs: tuple[OutputPlan, ...]
    steps: tuple[Step, ...]
    slots: int
    """Number of slots; inputs come first."""
    bounds: tuple[Bound, ...] = ()
    timeout_ns: int = 0
    """Of a whole request; 0: none."""
    admission: AdmissionPolicy = AdmissionPolicy()
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something `pipectl plan` says about a place (a node id, a stage, a pipeline)."""

    place: str
    kind: Literal["batching", "copy", "setting", "artifact"]
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
    digest: str = ""
    """sha256 of the program's canonical text and parameters."""
