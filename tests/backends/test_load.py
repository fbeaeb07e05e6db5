"""Backends by name."""

import sys

import pytest

import backends
from backends import BackendError, load, names, register
from backends.null import NullBackend
from tests.backends.stages import config, stage


def test_ours_are_known_and_kept():
    assert {"null", "onnx", "python", "torch"} <= set(names())
    assert load("null") is load("null")


def test_an_unknown_name_is_corrected():
    with pytest.raises(BackendError, match="no backend `onx`") as error:
        load("onx")
    assert error.value.hint == "did you mean `onnx`?"


def test_a_registered_backend_is_loaded_and_replaced():
    register("mine", NullBackend)
    first = load("mine")
    register("mine", NullBackend)
    assert load("mine") is not first
    assert "mine" in names()
    backends._factories.pop("mine")
    backends._loaded.pop("mine")


@pytest.mark.parametrize(("name", "library", "extra"), [("onnx", "onnxruntime", "onnx"), ("torch", "torch", "torch")])
def test_a_missing_library_names_the_extra(monkeypatch, name, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BackendError, match=library) as error:
        load(name).load(stage(name, "x: f32[*]", "y: f32[*]", artifact="a.bin"), config())
    assert error.value.hint == f"pip install 'pipectl[{extra}]'"
