"""A model and an ensemble as both Triton and the language can say them.

Settings have the keys and units of a profile (`batching.max`, nanoseconds). Dims leave out the row axis; -1 is any
size. A tensor of one value (a row's, or the request's) has no dims, where Triton writes `[1]` and reshapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BACKENDS = {"onnx": "onnxruntime", "tensorrt": "tensorrt", "torch": "pytorch", "python": "python"}
"""Backends of the language and their names in Triton."""

FILES = {"onnx": "model.onnx", "tensorrt": "model.plan", "torch": "model.pt", "python": "model.py"}
"""The artifact's name in a version folder, where a configuration does not say."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output. `dtype` is the language's."""

    port: str
    tensor: str
    """Its name in the artifact, which is its name in Triton."""
    dtype: str
    dims: tuple[int, ...]
    names: tuple[str, ...] = ()
    """Of the dims; "" for a number or an unknown size."""
    optional: bool = False
    ragged: bool = False
    labels: str = ""
    """Path of the class names of an output."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a ragged input is taken: rows one after the other, and an input that gets their offsets."""

    source: str
    """Port."""
    offsets: str = ""
    """Port, which requests do not bring; "" for none."""
    tensor: str = ""
    """Its name in the artifact."""
    dtype: str = "i32"


@dataclass(frozen=True, slots=True)
class State:
    """A tensor that a sequence keeps. It starts as zeros where `zeros`."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    tensor_in: str
    tensor_out: str
    zeros: bool = True


@dataclass(frozen=True, slots=True)
class Sequence:
    """Controls by role (`start`, `end`, `ready`, `id`) and slots. Durations in nanoseconds; 0: not said."""

    controls: Mapping[str, str] = field(default_factory=dict)
    idle: int = 0
    strategy: Literal["direct", "oldest"] = "direct"
    slots: int = 0
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Model:
    """A stage and its schedule."""

    name: str
    backend: str
    """Of the language; `triton` for what only Triton runs."""
    artifact: str
    """Path, function or name: the first argument in `using`."""
    max_rows: int
    """0: shapes are whole."""
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    title: str = ""
    """Its name in Triton, where that is no name of the language."""
    versions: tuple[int, ...] = ()
    stream: bool = False
    """Any number of answers for a request."""
    packings: tuple[Packing, ...] = ()
    sequence: Sequence | None = None
    states: tuple[State, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Its name in Triton."""
        return self.title or self.name


@dataclass(frozen=True, slots=True)
class Step:
    """A call: ports of the stage to names of the ensemble's tensors. `version` 0: the latest."""

    stage: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    version: int = 0


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A pipeline of calls in order. Steps name tensors as Triton does: an own port by its `tensor`."""

    name: str
    max_rows: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    title: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Its name in Triton."""
        return self.title or self.name
