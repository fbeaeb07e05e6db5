"""Stages as declared: typed ports, and the contract of what runs behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_dsl.sizes import Size
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

Effects = Literal["none", "repeatable", "once"]


@dataclass(frozen=True, slots=True)
class Port:
    """A typed input or output. `default` is a Python value (numpy-free), given where `has_default`."""

    name: str
    type: TensorType
    has_default: bool = False
    default: Any = None
    doc: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """One `where` clause: `left <= right` (also `<`, `==`, `>=`, `>`)."""

    left: Size
    op: str
    right: Size

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True, slots=True)
class Signature:
    """The ports of a stage or pipeline, and what `where` says of their sizes."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    bounds: tuple[Bound, ...] = ()

    @property
    def has_rows(self) -> bool:
        """Whether an input or output has the row axis `*`."""
        return any(p.type.has_rows for p in (*self.inputs, *self.outputs))


@dataclass(frozen=True, slots=True)
class RaggedRule:
    """How a stage takes `~dim`."""

    dim: str
    how: Literal["pad", "pack", "reject"]
    value: float | int | str = 0
    """Filled in by `pad`."""
    buckets: tuple[int, ...] = ()
    """Sorted lengths that `pad` rounds up to; none: the longest row."""
    mask: str = ""
    """Input port that receives 1 for real items and 0 for padding, [*, L]."""
    lengths: str = ""
    """Input port that receives the real length of each row, [*]."""
    offsets: str = ""
    """Input port that receives row offsets for `pack`, [rows + 1]."""


@dataclass(frozen=True, slots=True)
class TensorName:
    """The tensor of an artifact that a port stands for. `permute` maps the port's axes to the tensor's."""

    name: str
    permute: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceRule:
    """How a stage takes part in sequences. Names are input ports or tensors of the artifact that receive a control
    value for each row; "" where it wants none."""

    start: str = ""
    end: str = ""
    ready: str = ""
    id: str = ""
    idle_ns: int = 1_000_000_000
    """A sequence that sends nothing for so long is over."""
    strategy: Literal["direct", "oldest"] = "direct"
    """direct: a sequence holds one row of the batch until it ends. oldest: rows of any sequences, the oldest first."""
    slots: int = 0
    """Sequences of one instance at a time; 0: as many as its row limit, or 1 without `*`."""
    delay_ns: int = 0
    """How long the oldest row may wait for company."""


@dataclass(frozen=True, slots=True)
class StateRule:
    """`state h: f32[2, 64] = zeros() as "h0" -> "hn"`: a tensor a sequence keeps between its calls.

    The type has no `*`. A backend gets it behind its input ports and gives it behind its output ports, in order."""

    name: str
    type: TensorType
    init: Any
    """Python data, or "zeros" for zeros of the type's shape."""
    source: str = ""
    """The artifact's input tensor; "": called like the state."""
    target: str = ""
    """The artifact's output tensor; "": called like the state."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What is true of a stage's artifact."""

    effects: Effects = "repeatable"
    tensors_in: Mapping[str, TensorName] = field(default_factory=dict)
    tensors_out: Mapping[str, TensorName] = field(default_factory=dict)
    ragged: tuple[RaggedRule, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Path of the class names of an output, absolute or relative to the stage's folder."""
    versions: tuple[int, ...] = ()
    rows: int | None = None
    """Fixed row count of the artifact, where its row axis is not dynamic."""
    sequence: SequenceRule | None = None
    """Its calls of one correlation id belong together and go to one instance."""
    states: tuple[StateRule, ...] = ()
    """What it keeps from one call of a sequence to the next."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Contract settings that only the backend reads."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as declared. `name` is unique in the program: `encoder`, `emb.encoder`."""

    name: str
    signature: Signature
    backend: str
    arguments: Mapping[str, Any]
    """Evaluated backend arguments by name; the first positional one is `artifact`."""
    contract: Contract
    folder: str
    """Folder of the file that declares it; its relative paths start there."""
    doc: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)
