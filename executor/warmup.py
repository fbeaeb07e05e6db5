"""Warm-up: an instance's own, then batches of made-up rows as the profile's `warmup` block asks.

What a batch gives is checked as in earnest, so that a stage whose results are wrong fails before it is ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from backends.base import BackendError, Batch, BatchResult, Elements
from backends.streams import ELEMENTS, ElementStream
from backends.values import Ragged, Value
from pipeline_dsl.dtypes import DType
from pipeline_dsl.plan import PortPlan, StagePlan, Warmup
from pipeline_dsl.types import Dim, Rest, Rows, Unknown
from pipeline_dsl.types import Ragged as RaggedDim

from .stage import Slot


def warm_up(plan: StagePlan, slot: Slot) -> None:
    """The instance's own warm-up, then the batches that the plan asks for. Raises what the stage raises."""
    slot.instance.warmup()
    if (warmup := plan.warmup) is None:
        return
    for batch in _batches(plan, warmup):
        for _ in range(warmup.count):
            result = _checked(slot, batch)
            if result.elements is not None:
                _draw(result.elements)
    slot.copies.bytes.clear()


def _checked(slot: Slot, batch: Batch) -> BatchResult:
    return slot.check(batch, slot.execute(batch) if slot.site is None else slot.site.alone(batch))


def _draw(elements: Elements) -> None:
    """Some elements of a stream, which may have no end."""
    for _ in zip(range(ELEMENTS), elements):
        pass
    elements.close()


def _batches(plan: StagePlan, warmup: Warmup) -> Iterator[Batch]:
    if warmup.data not in ("zero", "random"):
        yield _from_file(plan, Path(plan.folder, warmup.data))
        return
    for rows in warmup.batches or (1,):
        for sizes in _combinations(warmup):
            inputs = tuple(_made_up(p, rows, sizes, warmup.data) for p in plan.inputs)
            yield _batch(plan, inputs, rows)


def _batch(plan: StagePlan, inputs: tuple[Value, ...], rows: int) -> Batch:
    return Batch(inputs, rows if plan.has_rows else 1, sizes=(rows,), request_ids=("warmup",))


def _combinations(warmup: Warmup) -> list[dict[str, int]]:
    """One value for each named size: the first of each together, then the second, and so on."""
    longest = max((len(v) for v in warmup.sizes.values()), default=1)
    return [{k: v[min(i, len(v) - 1)] for k, v in warmup.sizes.items()} for i in range(longest)]


def _made_up(port: PortPlan, rows: int, sizes: dict[str, int], data: str) -> Value:
    """Zeros, or random values, of the port's form; sizes that the profile does not name are 1."""
    dtype = port.type.dtype
    if port.type.stream:
        return ElementStream.of(()).reader()
    if port.form == "scalar":
        return port.default if port.has_default else _zero(dtype)
    shape = [rows + 1] if port.filled == "offsets" else [_size(d, rows, sizes) for d in port.type.dims]
    made: Any = np.full(shape, _zero(dtype), dtype.numpy)
    if port.filled == "mask":
        made += 1
    elif data == "random" and dtype.kind == "float":
        made[...] = np.random.default_rng(0).random(shape)
    return Ragged(list(made)) if port.form == "ragged" else made


def _zero(dtype: DType) -> Any:
    if dtype.numeric:
        return dtype.numpy.type(0).item()
    return {"string": "", "bytes": b"", "json": None}[dtype.name]


def _size(dim: Dim, rows: int, sizes: dict[str, int]) -> int:
    if isinstance(dim, Rows):
        return rows
    if isinstance(dim, Unknown | Rest):
        return 1
    value = dim.size.evaluate({s.name: sizes.get(s.name, 1) for s in dim.size.symbols})
    return max(value, 1 if isinstance(dim, RaggedDim) else 0)


def _from_file(plan: StagePlan, path: Path) -> Batch:
    """An `.npz` with an array for each port. BackendError if it is not there or lacks one."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            inputs = tuple(arrays[p.name] if p.form != "scalar" else arrays[p.name].item() for p in plan.inputs)
    except (OSError, KeyError, ValueError) as error:
        raise BackendError(f"warm-up data {path}: {error}", "give an .npz with an array for each input port") from error
    rows = next((len(v) for v, p in zip(inputs, plan.inputs) if p.type.has_rows), 1)
    return _batch(plan, inputs, rows)
