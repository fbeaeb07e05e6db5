"""What the library really has, asked of `tensorrt_rtx`, which has the API of TensorRT 11 and builds without a GPU.

The package is about 100 MB to download, so it is no part of `make dev`: `pip install tensorrt-rtx` runs these tests.
No engine runs here: loading one needs a driver."""

import inspect
import re

import pytest

from backends import BackendError
from backends.ort_tensors import match
from backends.tensorrt.build import Options, build, parse
from backends.tensorrt.engine import deserialize
from backends.tensorrt.library import DTYPES, RTX, library
from backends.tensorrt.profiles import profiles_of
from tests.backends.models import node, onnx_model, value
from tests.backends.stages import port
from tests.backends.tensorrt import fake_tensorrt as fake
from tests.backends.tensorrt.models import doubling, padded_sum, planned, reshaping

real = pytest.importorskip(RTX, reason="tensorrt-rtx is not installed")

PAIRS = {
    "Builder": fake.Builder,
    "INetworkDefinition": fake.Network,
    "IBuilderConfig": fake.Config,
    "IOptimizationProfile": fake.Profile,
    "OnnxParser": fake.Parser,
    "ParserError": fake.ParserError,
    "Runtime": fake.Runtime,
    "ICudaEngine": fake.Engine,
    "IExecutionContext": fake.Context,
}
"""Class of the library -> the one that stands for it in the other tests."""

PLAIN = Options()

CALLBACKS = {
    "reallocate_output": ["tensor_name", "memory", "size", "alignment"],
    "reallocate_output_async": ["tensor_name", "memory", "size", "alignment", "stream"],
    "notify_shape": ["tensor_name", "shape"],
}


def methods():
    """Each public method of the fake that stands for one of the library."""
    own = {"say", "known", "last"}
    for name, cls in PAIRS.items():
        for method, found in vars(cls).items():
            if callable(found) and not method.startswith("_") and method not in own:
                yield name, method


def parameters(doc):
    """Parameter names of each overload in a docstring."""
    return [re.findall(r"(\w+): ", re.sub(r"-> .*", "", line)) for line in doc.splitlines() if "self: " in line]


@pytest.mark.parametrize(("cls", "method"), list(methods()), ids=".".join)
def test_what_the_fake_does_the_library_has_with_the_same_parameters(cls, method):
    found = getattr(getattr(real, cls), method)
    fake_method = inspect.unwrap(getattr(PAIRS[cls], method))
    named = [p for p in inspect.signature(fake_method).parameters if p != "self"]
    assert any(overload[1 : 1 + len(named)] == named for overload in parameters(found.__doc__)), found.__doc__


@pytest.mark.parametrize(
    ("cls", "attribute"),
    [
        ("INetworkDefinition", "num_inputs"),
        ("INetworkDefinition", "num_outputs"),
        ("ITensor", "is_shape_tensor"),
        ("ITensor", "dtype"),
        ("ITensor", "shape"),
        ("ITensor", "name"),
        ("IBuilderConfig", "builder_optimization_level"),
        ("OnnxParser", "num_errors"),
        ("ICudaEngine", "num_io_tensors"),
        ("ICudaEngine", "num_optimization_profiles"),
        ("IExecutionContext", "active_optimization_profile"),
        ("IExecutionContext", "is_stream_capturable"),
    ],
)
def test_attributes(cls, attribute):
    assert hasattr(getattr(real, cls), attribute)


def test_words():
    assert set(DTYPES) <= set(real.DataType.__members__)
    for kind in ("ILogger.Severity", "TensorIOMode", "TensorLocation"):
        theirs, ours = real, fake
        for part in kind.split("."):
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        assert {k: int(v) for k, v in theirs.__members__.items()} == {
            k: int(v.value) for k, v in ours.__members__.items()
        }
    assert real.TensorFormat.LINEAR.name == "LINEAR"
    assert real.MemoryPoolType.WORKSPACE.name == "WORKSPACE"
    assert 1 << int(real.NetworkDefinitionCreationFlag.STRONGLY_TYPED) in (1, 2)


def test_callbacks_of_the_allocator():
    from backends.tensorrt.allocator import allocator_type

    made = allocator_type(real)(None)
    for name, wanted in CALLBACKS.items():
        assert name in real.IOutputAllocator.__doc__
        assert list(inspect.signature(getattr(made, name)).parameters) == wanted


# ---- building


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = doubling(tmp_path_factory.mktemp("m") / "m.onnx")
    return library(RTX, planned(path))


def built(found, plan, path, options=PLAIN):
    network = parse(found, path.read_bytes(), path, plan)
    inputs, _ = match(plan, str(path), network.inputs, network.outputs)
    profiles = profiles_of(plan, inputs)
    return build(found, network, profiles, options, plan), profiles


def refused(found, plan, path):
    with pytest.raises(BackendError) as error:
        built(found, plan, path)
    return str(error.value)


@pytest.mark.parametrize("options", [Options(), Options(workspace=1 << 26), Options(level=0)])
def test_an_engine_is_built(found, tmp_path, options):
    path = doubling(tmp_path / "m.onnx")
    plan, profiles = built(found, planned(path), path, options)
    assert b"vtrt" in plan[:32]
    assert len(profiles) == 1


def test_an_engine_with_several_profiles(found, tmp_path):
    path = padded_sum(tmp_path / "m.onnx")
    inputs = (port("x: f32[*, ~L]", form="padded", buckets=(4, 16)),)
    plan, profiles = built(found, planned(path, inputs, "y: f32[*]", where=("L <= 32",)), path)
    assert len(profiles) == 3
    assert len(plan) > 1000


def test_two_builds_are_alike_but_for_their_options(found, tmp_path):
    path = doubling(tmp_path / "m.onnx")
    assert built(found, planned(path), path)[0] != built(found, planned(path, most=4), path)[0]


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "i32", "i64", "bool"])
def test_dtypes_are_those_of_the_file(found, tmp_path, kind):
    graph = [node("Identity", "x", "y")], [value("x", kind, ["N", 4])], [value("y", kind, ["N", 4])]
    path = onnx_model(tmp_path / "m.onnx", *graph)
    network = parse(found, path.read_bytes(), path, planned(path))
    assert [str(t) for t in (*network.inputs, *network.outputs)] == [f"x: {kind}[?, 4]", f"y: {kind}[?, 4]"]


def test_operators_that_are_unknown(found, tmp_path):
    graph = [node("NoSuchOp", "x", "y", name="n1")], [value("x", "f32", ["N", 4])], [value("y", "f32", ["N", 4])]
    path = onnx_model(tmp_path / "m.onnx", *graph)
    text = refused(found, planned(path), path)
    assert f"m.onnx holds what {RTX} {real.__version__} can not run: node 0 `n1` (NoSuchOp): " in text


@pytest.mark.parametrize("content", [b"hello world this is junk", b"", b"\x00" * 64])
def test_files_that_are_no_models(found, tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert "m.onnx is not an ONNX model" in refused(found, planned(path), path)


def test_a_model_that_is_cut(found, tmp_path):
    path = doubling(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-20])
    assert "stage `s`: " in refused(found, planned(path), path)


def test_sizes_as_inputs_are_seen(found, tmp_path):
    path = reshaping(tmp_path / "m.onnx")
    plan = planned(path, "x: f32[*, 4], size: i64[2]", "y: f32[A, B]")
    assert "the values of input `size` are sizes" in refused(found, plan, path)


def test_a_build_without_profiles_says_why(found, tmp_path):
    path = doubling(tmp_path / "m.onnx")
    network = parse(found, path.read_bytes(), path, planned(path))
    with pytest.raises(BackendError, match="no optimization profile has been defined"):
        build(found, network, (), Options(), planned(path))


@pytest.mark.parametrize("content", [None, b"no plan at all"])
def test_an_engine_that_can_not_be_loaded_is_none_and_has_reasons(found, tmp_path, content):
    """Without a driver no engine can; with one, what is no plan can not."""
    path = doubling(tmp_path / "m.onnx")
    plan = content or built(found, planned(path), path)[0]
    made = deserialize(found, plan)
    if content is None and not isinstance(made, str):
        pytest.skip("there is a GPU here, and it takes the engine")
    assert isinstance(made, str)
    assert "Error Code" in made
