"""What is refused at load, with which words; and which parts of a stage decide what is built."""

import subprocess
import sys
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

import backends
from backends import BackendError
from backends.base import InstanceConfig
from backends.tensorrt import TensorrtBackend, library, memory
from backends.tensorrt.library import Log
from pipeline_dsl.ir import Contract, TensorName
from tests.backends.models import node, onnx_model, value
from tests.backends.stages import port
from tests.backends.tensorrt import fake_tensorrt as trt
from tests.backends.tensorrt.models import (
    CUDA,
    Y,
    doubling,
    given,
    plan_file,
    planned,
    random,
    read,
    reshaping,
)

ROWS = {"x": ((1, 4), (4, 4), (8, 4))}


def refused(backend, plan, config=CUDA):
    with pytest.raises(BackendError) as error:
        backend.load(plan, config)
    return str(error.value), error.value.hint


# ---- library and device


def test_it_is_a_backend_of_this_version():
    assert backends.load("tensorrt").name == "tensorrt"


def test_a_library_that_is_missing(tmp_path):
    text, hint = refused(TensorrtBackend("no_such_library"), planned(doubling(tmp_path / "m.onnx")))
    assert text == "stage `s`: backend `tensorrt` needs the package no_such_library"
    assert hint == "pip install 'pipectl[tensorrt]'"


def test_the_library_of_a_stage_is_imported_by_its_key(backend, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    library._imported.cache_clear()
    text, hint = refused(backend, planned(doubling(tmp_path / "m.onnx"), library="tensorrt_rtx"))
    assert "tensorrt_rtx" in text
    assert hint == "pip install tensorrt-rtx"


def test_a_library_that_is_too_old(monkeypatch, tmp_path):
    old = ModuleType("tensorrt")
    old.__version__, old.ILogger = "8.6.1", trt.ILogger
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    library._imported.cache_clear()
    try:
        text, hint = refused(TensorrtBackend(), planned(doubling(tmp_path / "m.onnx")))
    finally:
        library._imported.cache_clear()
    assert text == "stage `s`: tensorrt 8.6.1 is too old, 10.0 or newer is needed"
    assert hint == "pip install --upgrade tensorrt"


def test_the_host_is_no_place_for_it(backend, tmp_path):
    text, hint = refused(backend, planned(doubling(tmp_path / "m.onnx")), InstanceConfig())
    assert text == "stage `s`: backend `tensorrt` runs on a CUDA device, not on cpu"
    assert hint.startswith("set `device = cuda(0)`")


def test_a_device_that_can_not_be_used(backend, tmp_path, monkeypatch):
    def broken(name):
        raise BackendError(f"device `{name}` has no driver", "install one")

    monkeypatch.setattr("backends.device.device", broken)
    found = refused(backend, planned(doubling(tmp_path / "m.onnx")))
    assert found == ("stage `s`: device `cuda:0` has no driver", "install one")


def test_a_driver_that_does_not_say_what_the_device_is(backend, tmp_path, monkeypatch):
    def silent(name):
        raise RuntimeError("the CUDA driver answers with error 35 for cuda:0")

    monkeypatch.setattr(memory, "capability", silent)
    text, hint = refused(backend, planned(doubling(tmp_path / "m.onnx")))
    assert text == "stage `s`: the CUDA driver answers with error 35 for cuda:0"
    assert "driver" in hint


def test_importing_the_backend_imports_no_library():
    program = (
        "import sys, backends; backends.load('tensorrt'); print({'tensorrt', 'cupy', 'torch'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


class Driver:
    """`libcuda.so.1`, or what of it is called."""

    def __init__(self, status=0):
        self.status = status

    def cuInit(self, flags):
        return self.status

    def cuDeviceGet(self, handle, ordinal):
        handle._obj.value = 40 + ordinal
        return 0

    def cuDeviceGetAttribute(self, value, attribute, handle):
        value._obj.value = {75: 9, 76: handle.value - 40}[attribute]
        return 0


def test_the_compute_capability_is_the_drivers_word(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Driver())
    assert memory.capability("cuda:1") == "9.1"
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Driver(35))
    with pytest.raises(RuntimeError, match="the CUDA driver answers with error 35 for cuda:0"):
        memory.capability("cuda:0")


def test_a_machine_without_a_driver(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open")

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    with pytest.raises(RuntimeError, match=r"there is no CUDA driver: libcuda\.so\.1: cannot open"):
        memory.capability("cuda:0")


# ---- keys and files


def test_unknown_keys(backend, tmp_path):
    text, _ = refused(backend, planned(doubling(tmp_path / "m.onnx"), colour=1))
    assert text == "stage `s`: backend `tensorrt` has no argument `colour`"


def test_a_plan_takes_no_keys_of_a_build(backend, tmp_path):
    model = doubling(tmp_path / "m.onnx")
    text, hint = refused(backend, planned(plan_file(model, model, ROWS), level=3))
    assert text.endswith("m.plan is built already")
    assert text.startswith("stage `s`: `level` is about building, and ")
    assert hint == "leave out `level`, or name the .onnx file"


def test_files_go_by_their_names(backend, tmp_path):
    (tmp_path / "m.pt2").write_bytes(b"")
    text, hint = refused(backend, planned(tmp_path / "m.pt2"))
    assert text.endswith("m.pt2 is no model by its name")
    assert hint == "known: .onnx, .plan, .engine, .trt"


def test_options_reach_the_build(backend, tmp_path):
    backend.load(planned(doubling(tmp_path / "m.onnx"), workspace=1 << 20, level=5), CUDA)
    assert trt.Builder.last.limits == {"WORKSPACE": 1 << 20}
    assert trt.Builder.last.builder_optimization_level == 5


def test_what_the_parser_does_not_know_is_named(backend, tmp_path):
    nodes = [node("NoSuchOp", "x", "y", name=f"n{i}") for i in range(5)]
    onnx_model(tmp_path / "m.onnx", nodes, [value("x", "f32", ["N", 4])], [value("y", "f32", ["N", 4])])
    text, hint = refused(backend, planned(tmp_path / "m.onnx"))
    assert text.endswith(
        "m.onnx holds what fake_tensorrt 10.9.0 can not run: node 0 `n0` (NoSuchOp): there is no such operator; "
        "node 1 `n1` (NoSuchOp): there is no such operator; "
        "node 2 `n2` (NoSuchOp): there is no such operator and 2 more"
    )
    assert hint == "export the model with other operators, or run it with onnx(..)"


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs", b"\x08\x01"])
def test_files_that_are_no_models(backend, tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    text, hint = refused(backend, planned(tmp_path / "m.onnx"))
    assert "m.onnx is not an ONNX model" in text
    assert "Git LFS" in hint


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"version": "9.1"}, "the plan's version is 9.1, 10.9.0 is needed"), ({"capability": "8.0"}, "capability is 8.0")],
)
def test_plans_of_another_version_or_device(backend, tmp_path, change, reason):
    model = doubling(tmp_path / "m.onnx")
    text, hint = refused(backend, planned(plan_file(model, model, ROWS, **change)))
    assert "m.plan is no plan for fake_tensorrt 10.9.0 on this device" in text
    assert reason in text
    assert "build it again here" in hint


# ---- tensors


def test_dtypes_shapes_and_names_are_compared_before_anything_is_built(backend, tmp_path):
    text, _ = refused(backend, planned(doubling(tmp_path / "m.onnx"), "x: f16[*, 4]", Y))
    assert "E0310" in text
    assert "`x` is f16, the file's `x` is f32" in text
    assert "signature: (x: f16[*, 4]) -> (y: f32[*, 4])" in text
    assert "(x: f32[?, 4]) -> (y: f32[?, 4])" in text
    assert "build_serialized_network" not in trt.CALLS


def test_tensors_have_other_names_by_the_contract(gpu, backend, tmp_path):
    contract = Contract(tensors_in={"image": TensorName("x")}, tensors_out={"prob": TensorName("y")})
    plan = planned(doubling(tmp_path / "m.onnx"), "image: f32[*, 4]", "prob: f32[*, 4]", contract=contract)
    x = random(2, 4)
    (y,) = backend.load(plan, CUDA).execute(given(gpu, gpu.stream(), x)).outputs
    np.testing.assert_array_equal(read(gpu, y), x * 2)


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ("x: string[*]", "port `x` is string[*], an engine takes numbers only"),
        ("x: f32[*, ~L]", "port `x` is ragged, and the stage has no rule for it"),
        ("x: f32[*, 4]?", "port `x` is f32[*, 4]?, an engine has a value for each tensor in each run"),
        ("x: stream f32[4]", "port `x` is stream f32[4], an engine has a value for each tensor in each run"),
    ],
)
def test_ports_that_no_engine_serves(backend, tmp_path, inputs, text):
    assert refused(backend, planned(doubling(tmp_path / "m.onnx"), inputs))[0] == f"stage `s`: {text}"


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (Contract(tensors_in={"x": TensorName("x", (1, 0))}), "`x` is permuted, which backend `tensorrt` does not do"),
        (Contract(rows=2), "backend `tensorrt` takes no `rows = 2`"),
    ],
)
def test_contracts_that_it_does_not_serve(backend, tmp_path, contract, text):
    assert refused(backend, planned(doubling(tmp_path / "m.onnx"), contract=contract))[0] == f"stage `s`: {text}"


def test_a_plan_must_take_all_batches_that_may_come(backend, tmp_path):
    model = doubling(tmp_path / "m.onnx")
    plan = plan_file(model, model, {"x": ((1, 4), (2, 4), (2, 4))}, {"x": ((3, 4), (4, 4), (4, 4))})
    text, hint = refused(backend, planned(plan))
    assert "was built for `x` of shapes [1..2, 4], [3..4, 4], batches may have 8 rows" in text
    assert hint.startswith("set `batching { max = 4 }`")
    backend.load(planned(plan, most=4), CUDA).close()
    text, hint = refused(backend, planned(plan, most=0))
    assert "batches may have any number of rows" in text
    few = plan_file(model, model, {"x": ((2, 4), (4, 4), (8, 4))})
    text, hint = refused(backend, planned(few))
    assert "batches may have 1 row" in text


def test_plans_whose_tensors_are_not_stored_row_by_row(backend, tmp_path):
    model = doubling(tmp_path / "m.onnx")
    text, _ = refused(backend, planned(plan_file(model, model, ROWS, vectorized=["y"])))
    assert text.endswith("m.plan: tensor `y` is not stored row by row")


def test_plans_that_write_into_their_inputs(backend, tmp_path):
    model = doubling(tmp_path / "m.onnx")
    text, _ = refused(backend, planned(plan_file(model, model, ROWS, aliases={"y": "x"})))
    assert text.endswith("output `y` is written into input `x`, which others may read")


def test_sizes_as_inputs_need_a_plan(backend, tmp_path):
    model = reshaping(tmp_path / "m.onnx")
    text, hint = refused(backend, planned(model, "x: f32[*, 4], size: i64[2]", "y: f32[A, B]"))
    assert text.endswith("m.onnx: the values of input `size` are sizes, which no port bounds")
    assert hint == "build a plan with ranges for them, and load that"


def test_a_size_without_a_bound_is_named(backend, tmp_path):
    model = doubling(tmp_path / "m.onnx", width="W")
    text, _ = refused(backend, planned(model, "x: f32[*, W]", "y: f32[*, W]"))
    assert text == "stage `s`: size `W` has no largest value, and an engine is built for one"
    backend.load(planned(model, "x: f32[*, W]", "y: f32[*, W]", where=("W <= 9",)), CUDA).close()


def test_versions_are_filled_into_the_path(gpu, backend, tmp_path):
    doubling(tmp_path / "m2.onnx")
    plan = replace(planned(tmp_path / "m{version}.onnx"), version=2)
    backend.load(plan, CUDA).close()


def test_a_port_that_is_filled_with_offsets(gpu, backend, tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Identity", "v", "y"), node("Identity", "cu", "z")],
        [value("v", "f32", ["T"]), value("cu", "i64", ["M"])],
        [value("y", "f32", ["T"]), value("z", "i64", ["M"])],
    )
    inputs = (port("v: f32[*, ~L]", form="packed"), port("cu: i64[M]", filled="offsets", filled_from="v"))
    plan = planned(path, inputs, "y: f32[T], z: i64[M]", where=("L <= 5",))
    assert backend.load(plan, CUDA)._engine.profiles[0]["v"][0].most == 40


# ---- the log


def test_errors_are_the_threads_own_and_are_told_once():
    import threading

    log = Log()
    other = threading.Thread(target=log.add, args=(1, "elsewhere"))
    other.start()
    other.join()
    log.add(1, "[checkMacros.cpp::catchCudaError::250] Error Code 1:\n no. In f at /_src/a.cpp:12")
    log.add(3, "information")
    log.add(0, "worse")
    log.add(0, "worse")
    assert log.reasons() == "Error Code 1: no.; worse"
    assert log.reasons() == ""


def test_warnings_go_to_the_log_of_python(caplog):
    Log().add(2, "slow")
    assert [(r.name, r.getMessage()) for r in caplog.records] == [("pipectl.tensorrt", "slow")]
