"""Whether runs of a session that do not wait for the device give what runs that wait give.

Asked once, when an instance is loaded: two samples are run with the waits, then both without them, one behind the
other, so that a result of the run before would be seen. Values are made up, of sizes that the signature allows; where
the model does not take them nothing is proved, and the waits stay."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline_dsl.plan import StagePlan
from pipeline_dsl.types import Rows

from .device import DeviceArray
from .ort_cuda import Session
from .ort_tensors import Slot
from .shapes import target_of
from .states import CONTROLS

ROWS = 2
WIDTH = 8
"""Of dims that the signature leaves open."""

_log = logging.getLogger("pipectl")


def agrees(session: Session, stage: StagePlan) -> bool:
    """Whether runs without waits may be trusted; what was found instead is logged. Waits for the device."""
    if not session.all_on_device:
        return False
    rows = stage.contract.rows or ROWS
    try:
        samples = [_sample(session, rows, seed) for seed in (0, 1)]
        waited = [_host(session.run(sample, rows)) for sample in samples]
        session.waits_never = True
        launched = [session.run(sample, rows) for sample in samples]
        found = [_host(outputs) for outputs in launched]
    except Exception as error:  # whatever the model says to values that are made up
        _log.info("stage %s: runs stay synchronous, its sample was refused: %s", stage.name, error)
        return False
    finally:
        session.waits_never = False
    if all(_same(a, b) for one, other in zip(waited, found) for a, b in zip(one, other)):
        return True
    _log.warning("stage %s: runs stay synchronous, since those that do not wait gave other results", stage.name)
    return False


def _sample(session: Session, rows: int, seed: int) -> list[Any]:
    generator = np.random.default_rng(seed)
    return [_value(session, slot, rows, generator) for slot in session.inputs]


def _value(session: Session, slot: Slot, rows: int, generator: np.random.Generator) -> Any:
    """Small numbers, so that indices are valid: zeros and ones, or floats below 1."""
    port = slot.port
    dtype = port.type.dtype.numpy
    shape = [
        _size(dim, port.buckets, rows) for dim in (port.type.dims[1:] if port.form == "packed" else port.type.dims)
    ]
    if port.form == "scalar" or port.filled in CONTROLS:
        return np.zeros(shape, dtype) if shape else dtype.type(0).item()
    if port.type.dtype.kind == "float":
        array = generator.random(shape).astype(dtype)
    else:
        array = generator.integers(0, 2, shape).astype(dtype)
    return session.device.upload(array, session.stream)


def _size(dim: Any, buckets: Sequence[int], rows: int) -> int:
    target = target_of(dim)
    if isinstance(dim, Rows):
        return rows
    return target if isinstance(target, int) else buckets[0] if buckets else WIDTH


def _host(outputs: Sequence[DeviceArray]) -> list[Any]:
    landings = [array.block.device.download(array) for array in outputs]
    for landing in landings:
        landing.event.synchronize()
    return [landing.array for landing in landings]


def _same(left: Any, right: Any) -> bool:
    """Equal but for the order of additions, which some kernels leave open."""
    if left.shape != right.shape:
        return False
    if left.dtype.kind in "biu":
        return bool(np.array_equal(left, right))
    one, other = left.astype(np.float64), right.astype(np.float64)
    return bool(np.allclose(one, other, rtol=1e-2, atol=1e-3, equal_nan=True))
