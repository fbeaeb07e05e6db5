"""Engines on disk: found again, and built again where anything differs or is damaged."""

import os
import stat
from dataclasses import replace

import numpy as np
import onnx
import pytest

from backends.tensorrt import cache
from backends.tensorrt.build import Options
from backends.tensorrt.profiles import Range
from pipeline_dsl.plan import BatchPolicy
from tests.backends.tensorrt import fake_tensorrt as trt
from tests.backends.tensorrt.models import CUDA, doubling, given, planned, random, read

PROFILE = {"x": (Range(1, 8, 8), Range(4, 4, 4))}
SAME = ("sha", "tensorrt", "10.9", "9.0", [PROFILE], Options())


def loaded(backend, plan):
    """Whether loading it built an engine; what the folder holds."""
    trt.CALLS.clear()
    backend.load(plan, CUDA).close()
    return "build_serialized_network" in trt.CALLS


@pytest.mark.parametrize(
    "other",
    [
        ("other", *SAME[1:]),
        ("sha", "tensorrt_rtx", *SAME[2:]),
        ("sha", "tensorrt", "10.10", *SAME[3:]),
        ("sha", "tensorrt", "10.9", "8.0", *SAME[4:]),
        (*SAME[:4], [], Options()),
        (*SAME[:4], [PROFILE, PROFILE], Options()),
        (*SAME[:4], [{"x": (Range(1, 4, 8), Range(4, 4, 4))}], Options()),
        (*SAME[:4], [{"z": PROFILE["x"]}], Options()),
        (*SAME[:5], Options(workspace=1)),
        (*SAME[:5], Options(level=1)),
    ],
)
def test_everything_that_decides_is_in_the_key(other):
    assert cache.key_of(*other) != cache.key_of(*SAME)


def test_the_order_of_tensors_does_not_matter():
    both = {"x": PROFILE["x"], "z": PROFILE["x"]}
    turned = dict(reversed(both.items()))
    assert cache.key_of(*SAME[:4], [both], Options()) == cache.key_of(*SAME[:4], [turned], Options())


def test_an_engine_is_built_once(gpu, backend, tmp_path):
    plan = planned(doubling(tmp_path / "m.onnx"))
    assert [loaded(backend, plan) for _ in range(3)] == [True, False, False]
    (file,) = (tmp_path / "cache" / "pipectl" / "tensorrt").iterdir()
    assert file.name.startswith("m-")
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    x = random(2, 4)
    (y,) = backend.load(plan, CUDA).execute(given(gpu, gpu.stream(), x)).outputs
    np.testing.assert_array_equal(read(gpu, y), x * 2)


def test_what_differs_is_built_beside_it(backend, tmp_path, monkeypatch):
    plan = planned(doubling(tmp_path / "m.onnx"))
    assert loaded(backend, plan)
    assert loaded(backend, replace(plan, batching=BatchPolicy(max_rows=9)))
    assert loaded(backend, replace(plan, arguments={**plan.arguments, "level": 1}))
    assert not loaded(backend, plan)
    assert len(list((tmp_path / "cache" / "pipectl" / "tensorrt").iterdir())) == 3


def test_a_model_that_changed_is_built(backend, tmp_path):
    plan = planned(doubling(tmp_path / "m.onnx"))
    assert loaded(backend, plan)
    model = onnx.load(str(tmp_path / "m.onnx"))
    model.producer_name = "another"
    onnx.save(model, str(tmp_path / "m.onnx"))
    assert loaded(backend, plan)


def test_weights_beside_the_model_count(tmp_path):
    model = doubling(tmp_path / "m.onnx").read_bytes() + b"location weights/w.bin"
    before = cache.fingerprint(model, tmp_path / "m.onnx")
    (tmp_path / "other.bin").write_bytes(b"1")
    assert cache.fingerprint(model, tmp_path / "m.onnx") == before
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"1")
    one = cache.fingerprint(model, tmp_path / "m.onnx")
    (tmp_path / "weights" / "w.bin").write_bytes(b"2")
    assert len({before, one, cache.fingerprint(model, tmp_path / "m.onnx")}) == 3


DAMAGE = {
    "cut": lambda content: content[:-9],
    "empty": lambda content: b"",
    "no line": lambda content: b"{",
    "no table": lambda content: b"3\n" + content,
    "another byte": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "another key": lambda content: content.replace(b'"key": "', b'"key": "0', 1),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_built_again(backend, tmp_path, damage):
    plan = planned(doubling(tmp_path / "m.onnx"), cache="engines")
    assert loaded(backend, plan)
    (file,) = (tmp_path / "engines").iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[damage](whole))
    assert loaded(backend, plan)
    assert file.read_bytes() == whole
    assert not loaded(backend, plan)


def test_an_engine_that_the_library_does_not_take_is_built_again(backend, tmp_path, caplog):
    plan = planned(doubling(tmp_path / "m.onnx"), cache="engines")
    assert loaded(backend, plan)
    (file,) = (tmp_path / "engines").iterdir()
    key = cache.json.loads(file.read_bytes().partition(b"\n")[0])["key"]
    cache.write(file, key, trt.plan_of(onnx.load(str(tmp_path / "m.onnx")), [], version="9.1"))
    assert loaded(backend, plan)
    assert "is built again: the plan's version is 9.1, 10.9.0 is needed" in caplog.text
    assert not loaded(backend, plan)


def test_a_folder_that_can_not_be_written_is_a_warning(gpu, backend, tmp_path, caplog):
    (tmp_path / "engines").write_text("a file")
    plan = planned(doubling(tmp_path / "m.onnx"), cache="engines")
    assert loaded(backend, plan)
    assert "the engine is not kept in" in caplog.text


def test_nothing_is_left_of_a_file_that_could_not_be_finished(tmp_path, monkeypatch):
    def full(fd):
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", full)
    cache.write(tmp_path / "m.engine", "key", b"plan")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_stages_own_or_the_users(tmp_path, monkeypatch):
    stage = planned(tmp_path / "m.onnx")
    assert cache.folder_of(replace(stage, arguments={"cache": "a/b"})) == tmp_path / "a" / "b"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache.folder_of(stage) == tmp_path / "x" / "pipectl" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder_of(stage) == tmp_path / ".cache" / "pipectl" / "tensorrt"
