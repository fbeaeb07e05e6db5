"""Layouts and dtypes through every conversion that backends use (hazard 11): the same memory, or a counted copy.

Arrays are whole, parts at an offset, transposed, with steps, turned round, without items, read-only; of every dtype of
the language and of fp8. What comes out has the values and the dtype of what went in."""

from __future__ import annotations

import gc
from dataclasses import replace

import ml_dtypes
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.adoption import Adoption
from backends.base import Batch, BatchResult
from backends.checks import OutputCheck
from backends.device import Accelerator, DeviceArray
from backends.device.array import storage
from backends.interop import as_stored, to_numpy, to_torch
from backends.ort import _array, _ort_value
from backends.ort_cuda import NUMBERS, RuntimeMemory
from backends.values import Ragged
from pipeline_dsl.dtypes import DTYPES
from tests.backends.fake_cuda import FakeDriver, host
from tests.backends.stages import Copies, port, stage

NUMERIC = {name: d.numpy for name, d in DTYPES.items() if d.numeric}
FP8 = [np.dtype(ml_dtypes.float8_e4m3fn), np.dtype(ml_dtypes.float8_e5m2)]
LAYOUTS = {
    "whole": lambda a: a,
    "offset": lambda a: a[1:],
    "part": lambda a: a[1:3, 1:3],
    "transposed": lambda a: a.T,
    "steps": lambda a: a[::2],
    "turned": lambda a: a[::-1],
    "row": lambda a: a[1],
    "empty": lambda a: a[:0],
    "no width": lambda a: a[:, :0],
}

dtypes = st.sampled_from([*NUMERIC.values(), *FP8])
layouts = st.sampled_from(sorted(LAYOUTS))
not_turned = layouts.filter(lambda name: name != "turned")
"""torch has no negative steps."""


def grid(dtype):
    values = np.arange(24).reshape(4, 6)
    return (values % 2 if dtype == np.bool_ else values).astype(dtype)


def address(array):
    return array.__array_interface__["data"][0]


def same(left, right):
    held = storage(right.dtype)
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left.view(held), right.view(held))


def contiguous(layout):
    return layout not in ("part", "transposed", "steps", "turned")


torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@given(dtypes, layouts, st.booleans())
def test_numpy_to_torch_and_back_is_the_same_memory(dtype, layout, writeable):
    array = LAYOUTS[layout](grid(dtype))
    array.flags.writeable = writeable
    if layout == "turned":
        with pytest.raises(ValueError, match="negative"):
            to_torch(array)
        return
    tensor = to_torch(array)
    assert str(tensor.dtype).removeprefix("torch.") == dtype.name
    back = to_numpy(tensor)
    assert same(back, array)
    if array.size:
        assert tensor.data_ptr() == address(array) == address(back)


@given(dtypes, not_turned)
def test_a_tensor_of_any_layout_passes_on_as_its_bits(dtype, layout):
    tensor = to_torch(LAYOUTS[layout](grid(dtype)))
    stored, meant = as_stored(tensor)
    assert stored.data_ptr() == tensor.data_ptr()
    assert stored.stride() == tensor.stride()
    seen = np.from_dlpack(stored)
    assert same(seen if meant is None else seen.view(meant), LAYOUTS[layout](grid(dtype)))


@settings(deadline=None)
@given(st.sampled_from(sorted(NUMERIC)), layouts.filter(contiguous))
def test_numpy_to_ort_and_back(name, layout):
    array = LAYOUTS[layout](grid(NUMERIC[name]))
    array.flags.writeable = False
    given_ = _ort_value(onnxruntime, array)
    back = _array(given_)
    assert same(back, array)
    if array.size:
        assert given_.data_ptr() == address(array) == address(back)
    assert given_.element_type() == NUMBERS[name]


@given(dtypes, not_turned)
def test_a_device_array_to_torch_and_back_is_the_same_block(dtype, layout):
    device = Accelerator(FakeDriver())
    view = LAYOUTS[layout]
    whole = device.upload(grid(dtype))
    data = view(whole.data)
    array = DeviceArray(data, whole.block, dtype)
    tensor = to_torch(array)
    assert str(tensor.dtype).removeprefix("torch.") == dtype.name
    adoption = Adoption(stage("python", "x: f32[*]", "y: f32[*]"), device)
    name = next((n for n, d in NUMERIC.items() if d == dtype), "u8")
    made = adoption.array(tensor, port(f"y: {name}[?, ?]"), [whole])
    assert made.dtype == dtype
    assert same(host(made), view(grid(dtype)))
    if array.size:
        assert tensor.data_ptr() == array.address == made.address
        assert made.block is whole.block


@given(dtypes, not_turned)
def test_what_a_library_made_is_adopted_where_it_is(dtype, layout):
    device = Accelerator(FakeDriver())
    made_there = to_torch(grid(dtype).copy())
    tensor = LAYOUTS[layout](made_there)
    adoption = Adoption(stage("python", "x: f32[*]", "y: f32[*]"), device)
    name = next((n for n, d in NUMERIC.items() if d == dtype), "u8")
    array = adoption.array(tensor, port(f"y: {name}[?, ?]"), [])
    if tensor.numel():
        assert array.address == tensor.data_ptr()
    del made_there, tensor
    gc.collect()
    assert array.dtype == dtype
    assert same(host(array), LAYOUTS[layout](grid(dtype)))


@pytest.mark.parametrize("name", sorted(NUMERIC))
def test_memory_of_the_runtime_is_adopted_with_its_dtype(name):
    dtype = NUMERIC[name]
    device = Accelerator(FakeDriver())
    value = _ort_value(onnxruntime, grid(dtype))
    at = value.data_ptr()
    made = device.adopt(RuntimeMemory(value, dtype), device.side, dtype)
    assert made.address == at
    del value
    gc.collect()
    assert same(host(made), grid(dtype))


@given(st.sampled_from(sorted(NUMERIC)), layouts, st.booleans(), st.booleans())
def test_a_result_passes_untouched_or_as_a_counted_copy(name, layout, writeable, on_device):
    array = LAYOUTS[layout](grid(NUMERIC[name]))
    array.flags.writeable = writeable
    sizes = ", ".join(map(str, array.shape))
    copies = Copies()
    plan = stage("null", "x: f32", f"y: {name}[{sizes}]")
    result = array
    if on_device:
        device = Accelerator(FakeDriver())
        whole = device.upload(grid(NUMERIC[name]))
        result = DeviceArray(LAYOUTS[layout](whole.data), whole.block, whole.dtype)
        plan = on_cuda(plan)
    found = OutputCheck(plan, copies)(Batch((1.0,), 1), BatchResult((result,))).outputs[0]
    assert same(host(found) if on_device else found, array)
    if copies:
        assert copies == [(array.nbytes, "contiguous")]
        assert not array.flags.c_contiguous
        assert found.contiguous if on_device else found.flags.c_contiguous
    else:
        assert found is result


def on_cuda(plan):
    return replace(plan, device="cuda:0")


# ---- rows of unequal size


lengths_of = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@settings(deadline=None)
@given(lengths_of, st.sampled_from(["f32", "bf16", "i64", "bool"]), st.sampled_from([(), (3,)]), st.integers(0, 3))
def test_ragged_rows_on_a_device_are_those_of_the_host(lengths, name, rest, more):
    device, dtype = Accelerator(FakeDriver()), NUMERIC[name]
    rows = [np.arange(n * int(np.prod(rest))).reshape(n, *rest).astype(dtype) for n in lengths]
    width = max(lengths) + more
    fill = 1
    values, offsets = Ragged(rows).packed()
    padded = Ragged(rows).padded(fill, width)
    copies = []
    forms = [
        Ragged([device.upload(r) for r in rows], on_copy=copies.append),
        Ragged(values=device.upload(values), offsets=offsets, on_copy=copies.append),
        Ragged(padded=device.upload(padded), lengths=np.array(lengths, np.int64), fill=fill, on_copy=copies.append),
    ]
    for held in forms:
        assert held.lengths().tolist() == lengths
        assert held.dtype == dtype
        assert held.nbytes == sum(r.nbytes for r in rows)
        assert all(same(host(found), row) for found, row in zip(held, rows))
        packed, starts = held.packed()
        assert same(host(packed), values)
        assert starts.tolist() == offsets.tolist()
        assert same(host(held.padded(fill, width)), padded)
        free = held.holds_padded(fill, width)
        before = len(copies)
        held.padded(fill, width)
        assert not free or len(copies) == before
        assert [r.nbytes for r in held[1:]] == [r.nbytes for r in rows[1:]]
    assert forms[1].packed()[0].address == forms[1].parts()[0].address


@given(lengths_of, st.sampled_from(["f32", "bf16"]))
def test_filling_what_is_behind_rows_leaves_the_array_as_it_was(lengths, name):
    device, dtype = Accelerator(FakeDriver()), NUMERIC[name]
    width = max(lengths) + 1
    array = np.full((len(lengths), width), 7, dtype)
    copies = []
    given_ = device.upload(array)
    cleaned = Ragged(padded=given_, lengths=np.array(lengths, np.int64), on_copy=copies.append).cleaned(0.5)
    wanted = np.where(np.arange(width) < np.array(lengths)[:, None], array, np.asarray(0.5, dtype)).astype(dtype)
    assert same(host(cleaned.padded_form), wanted)
    assert same(host(given_), array)
    assert copies == [array.nbytes]


def test_rows_that_differ_in_several_dims():
    device = Accelerator(FakeDriver())
    rows = [np.ones((2, 1), np.float32), np.ones((1, 3), np.float32)]
    wanted = Ragged(rows).padded(-1.0)
    assert same(host(Ragged([device.upload(r) for r in rows]).padded(-1.0)), wanted)
