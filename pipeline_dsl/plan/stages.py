"""What the machine has, and one stage as the executor loads and serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_dsl.ir import Bound, Contract
from pipeline_dsl.types import TensorType

AUTO = -1
"""`delay = auto`: the wait is learnt from arrivals and service times."""


DeviceOverride = Literal["", "cpu", "cuda", "sim"]
"""Where all stages are placed instead of what profiles say; "" for what they say.

cpu: everything on the host. cuda: what can use a GPU, on the GPU with the least load. sim: everything on a simulated
GPU."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as its driver calls it."""

    name: str
    memory: int
    """Bytes."""
    used: int = 0
    """Bytes of it that are taken; 0 where unknown."""
    busy: float = 0.0
    """Share of the time that it has work, 0 to 1; 0 where unknown."""

    @property
    def load(self) -> float:
        """The share of it that is taken, of memory or of time, 0 to 1."""
        return max(self.busy, self.used / self.memory if self.memory else 0.0)


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


SequenceControl = Literal["start", "end", "ready", "id"]
"""What a sequence stage is told of each row."""


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
    filled: Literal["", "mask", "lengths", "offsets", "start", "end", "ready", "id"] = ""
    """Not given by a caller but made: when `filled_from` is padded or packed, or of the sequence a row belongs to."""
    filled_from: str = ""
    """"" for what is told of a sequence."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Limits count rows. `max_rows` 0: no limit. `delay_ns`: how long the oldest cohort may wait for company; AUTO."""

    max_rows: int = 0
    delay_ns: int = 0
    preferred: tuple[int, ...] = ()
    in_order: bool = False
    """Results go on in the order in which their batches were formed, whichever instance is first."""


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
class CachePolicy:
    """Answers that are kept: `max_bytes` in all, each for `ttl_ns` (0: for ever)."""

    max_bytes: int
    ttl_ns: int = 0
    key: tuple[str, ...] = ()
    """Input ports that make the key; none: all."""


@dataclass(frozen=True, slots=True)
class ResourceClaim:
    """Units of a shared resource that an execution holds; the engine has as many as the largest claim."""

    name: str
    units: int


@dataclass(frozen=True, slots=True)
class AheadPolicy:
    """How far a call with stream outputs may run ahead of the slowest reader of each."""

    elements: int = 64
    nbytes: int = 1 << 20


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
    sms: int = 0
    """Multiprocessors of its device that the work of its instances is kept to; 0: all, and on the host."""
    batching: BatchPolicy = BatchPolicy()
    queue: QueuePolicy = QueuePolicy()
    warmup: Warmup | None = None
    ahead: AheadPolicy = AheadPolicy()
    cache: CachePolicy | None = None
    limits: tuple[ResourceClaim, ...] = ()
    limit_priority: int = 1
    """Who gets scarce resources first; 1 before 2."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Schedule settings that only the backend reads."""

    @property
    def on_host(self) -> bool:
        """Whether it takes and gives numpy arrays: stages on the cpu, and those in processes of their own."""
        return self.device == "cpu" or self.isolate


def device_of(stage: StagePlan, instance: int) -> str:
    """Where an instance of a stage is: of several devices (`cuda:0,1`), each takes the next one in turn."""
    kind, _, numbers = stage.device.partition(":")
    each = numbers.split(",")
    return f"{kind}:{each[instance % len(each)]}" if numbers else stage.device


def place_text(stage: StagePlan, stream: int) -> str:
    """Where a call of a stage runs, given the stream that its step was assigned (-1: none): `cpu`, `cuda:0 stream 1`,
    `cuda:0 sms 16` for one of its partition."""
    if stream < 0:
        return stage.device
    return f"{stage.device} sms {stage.sms}" if stage.sms else f"{stage.device} stream {stream}"
