"""Outputs of a pipeline for the wire: what a port gives, decided once for each port."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from backends.values import Array, Ragged, Value
from pipeline_dsl.plan import OutputPlan
from pipeline_dsl.types import Ragged as RaggedDim
from serving.tensors import TensorOut

from .inputs import LENGTHS

_ENCODE: dict[str, Callable[[Any], bytes]] = {
    "string": lambda item: item.encode(),
    "bytes": bytes,
    "json": msgspec.json.encode,
}


class OutputPort:
    """Writes one output of a pipeline."""

    __slots__ = ("_dtype", "_encode", "_null", "_numpy", "_wire", "labels", "name", "ragged_axes", "type")

    def __init__(self, plan: OutputPlan) -> None:
        self.name = plan.name
        self.type = plan.type
        self.labels = plan.labels
        self._dtype = plan.type.dtype
        self._numpy = plan.type.dtype.numpy
        self._wire = plan.type.dtype.kserve
        self._encode = None if self._dtype.numeric else _ENCODE[self._dtype.name]
        self._null = self._dtype.name == "json" and not self.type.optional and not self.type.dims
        """None is a value of the port, and does not mean that it is absent."""
        self.ragged_axes = tuple(i for i, d in enumerate(plan.type.dims) if isinstance(d, RaggedDim))

    def tensors(self, value: Value) -> tuple[TensorOut, ...]:
        """The tensors of one value: none where it is absent, two where it is ragged."""
        if value is None and not self._null:
            return ()
        if isinstance(value, Ragged):
            return self._padded(value)
        return (self._array(value) if self.type.dims else self._single(value),)

    def _single(self, value: Any) -> TensorOut:
        if self._encode is not None:
            return TensorOut(self.name, self._wire, (1,), [self._encode(value)])
        return TensorOut(self.name, self._wire, (1,), np.array([value], self._numpy))

    def _array(self, value: Array) -> TensorOut:
        if self._encode is not None:
            return TensorOut(self.name, self._wire, value.shape, _encoded(value.ravel().tolist(), self._encode))
        data = value if value.flags.c_contiguous else np.ascontiguousarray(value)
        return TensorOut(self.name, self._wire, value.shape, data)

    def _padded(self, value: Ragged) -> tuple[TensorOut, TensorOut]:
        """Rows filled up with 0, false or "", and how long each is."""
        axes = self.ragged_axes or (1,)
        lengths = np.stack([value.lengths(axis - 1) for axis in axes], axis=1)
        fill = 0 if self._encode is None else {"string": "", "bytes": b""}.get(self._dtype.name)
        padded = self._array(value.padded(fill))
        return padded, TensorOut(self.name + LENGTHS, "INT64", lengths.shape, np.ascontiguousarray(lengths))


def _encoded(items: Iterable[Any], encode: Callable[[Any], bytes]) -> list[bytes]:
    return [encode(item) for item in items]
