"""What protocols hand to operations and get back: tensors with names, as plain Python values.

    gRPC message | JSON + binary -> InferCall -> operation -> InferAnswer(s) -> gRPC message | JSON + binary | SSE

Nothing here is checked; `convert` does that, against the types of the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

Parameter = bool | int | float | str
Parameters = Mapping[str, Parameter]

NO_PARAMETERS: Parameters = MappingProxyType({})


def _none() -> Mapping[str, Any]:
    return NO_PARAMETERS


class TensorIn(NamedTuple):
    """One tensor of a request."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: bytes | memoryview | Sequence[Any] | None
    """Raw bytes as the protocol packs them, or a list of items, flat or nested; None with shared memory."""
    parameters: Parameters = NO_PARAMETERS


class Wanted(NamedTuple):
    """An output that was asked for by name."""

    name: str
    parameters: Parameters = NO_PARAMETERS


@dataclass(slots=True)
class InferCall:
    """One request, as any protocol brings it."""

    model: str
    version: str = ""
    id: str = ""
    inputs: Sequence[TensorIn] = ()
    outputs: Sequence[Wanted] = ()
    """None: all."""
    parameters: Parameters = field(default_factory=_none)
    timeout: float | None = None
    """Seconds the transport still waits; None: it says nothing."""
    headers: Mapping[str, str] = field(default_factory=_none)
    company: int = 0
    """Calls that the transport has open, this one too; 0: it does not say."""
    """Those the server forwards, by lower-case name."""


class TensorOut(NamedTuple):
    """One tensor of an answer."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Any
    """A C-contiguous array of the datatype; for BYTES a list of bytes, one for each item. None: it was written to
    shared memory."""
    parameters: Parameters = NO_PARAMETERS


@dataclass(slots=True)
class InferAnswer:
    """One response; a stream has several for one request, of which the last is `final`."""

    model: str
    version: str
    id: str
    outputs: Sequence[TensorOut]
    parameters: Parameters = field(default_factory=_none)
    final: bool = True
