"""Rows of unequal size as a python stage on a device gets them, and gives them back."""

from __future__ import annotations

import numpy as np
import pytest

from backends.base import Batch
from backends.checks import OutputCheck, OutputError
from backends.values import Ragged
from tests.backends.device_stages import on_gpu, python_instance
from tests.backends.fake_cuda import Memory, host, installed
from tests.backends.stages import stage

X, Y = "x: f32[*, ~L]", "y: f32[*, ~L]"
ROWS = ([1.0], [2.0, 3.0, 4.0])


@pytest.fixture
def gpu(monkeypatch):
    with installed(monkeypatch) as accelerator:
        yield accelerator


def run(folder, code, outputs=Y, form="packed", **arguments):
    instance = python_instance(folder, code, "f", inputs=X, outputs=outputs, **arguments)
    whole = Ragged([np.array(row, np.float32) for row in ROWS])
    device = on_gpu.accelerator
    if form == "packed":
        values, offsets = whole.packed()
        given = Ragged(values=device.upload(values), offsets=offsets)
    else:
        given = Ragged(padded=device.upload(whole.padded(0)), lengths=whole.lengths(), fill=0)
    made = Batch((given,), 2, sizes=(2,))
    result = OutputCheck(on_gpu.placed(stage("python", X, outputs)))(made, on_gpu.call(instance, made))
    return result.outputs[0], given


def rows(value):
    return [host(row).tolist() for row in value]


DOUBLED = [[2.0], [4.0, 6.0, 8.0]]


@pytest.mark.parametrize("form", ["packed", "padded"])
@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.torch
def test_rows_in_and_out(gpu, tmp_path, form, arrays):
    pytest.importorskip("torch")
    found, _ = run(tmp_path, "def f(*, x):\n    return [row * 2 for row in x]\n", form=form, arrays=arrays)
    assert rows(found) == DOUBLED


@pytest.mark.parametrize("form", ["packed", "padded"])
def test_all_at_once_in_the_packed_form(gpu, tmp_path, form):
    code = """
    from backends import Ragged
    from tests.backends.fake_cuda import Memory

    def f(*, x):
        values, offsets = x.packed()
        assert type(values) is Memory
        return Ragged(values=values * 2, offsets=offsets)
    """
    found, _ = run(tmp_path, code, form=form)
    assert found.is_packed
    assert rows(found) == DOUBLED


@pytest.mark.parametrize("form", ["packed", "padded"])
def test_a_padded_array_takes_the_lengths_of_the_input(gpu, tmp_path, form):
    found, _ = run(tmp_path, "def f(*, x):\n    return x.padded(0) * 2\n", form=form)
    assert rows(found) == DOUBLED


def test_what_was_given_comes_back_as_it_is(gpu, tmp_path):
    found, given = run(tmp_path, "def f(*, x):\n    return x\n")
    assert found is given


def test_a_part_of_it_lies_in_the_same_block(gpu, tmp_path):
    code = "def f(*, x):\n    return [x[0], x[1:][0]]\n"
    found, given = run(tmp_path, code)
    assert rows(found) == [[1.0], [2.0, 3.0, 4.0]]
    assert {row.block for row in found} == {given.packed()[0].block}


def test_sizes_are_the_hosts(gpu, tmp_path):
    code = """
    def f(*, x):
        assert (len(x), x.shape_of(1), x.lengths().tolist(), x.nbytes) == (2, (3,), [1, 3], 16)
        assert x.is_packed and not x.is_padded and x.padded_form is None
        assert not x.holds_padded(0, 3)
        return [row + 0 for row in x.take([0, 1])]
    """
    found, _ = run(tmp_path, code)
    assert rows(found) == [[1.0], [2.0, 3.0, 4.0]]


def test_a_row_that_failed_and_rows_of_numbers(gpu, tmp_path):
    found, _ = run(tmp_path, "def f(*, x):\n    return [[1.0], x[1] * 2]\n")
    assert rows(found) == [[1.0], [4.0, 6.0, 8.0]]
    with pytest.raises(OutputError, match=r"f32\[\*, ~L\] on cuda:0 is expected, found an array on cpu"):
        run(tmp_path, "import numpy\ndef f(*, x):\n    return [numpy.ones(1, 'f'), x[1]]\n")


def test_arrays_are_the_librarys_own(gpu, tmp_path):
    found, _ = run(tmp_path, "def f(*, x):\n    return [row.copy() for row in x]\n")
    assert all(type(row.data) is Memory for row in found)
