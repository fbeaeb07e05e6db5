"""Backend `onnx`: tensors by name, exact dtypes, memory that stays, and files that do not fit."""

import gc

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from backends import BackendError, load
from backends.checks import OutputCheck
from pipeline_dsl.ir import Contract, TensorName
from tests.backends.models import doubling, node, onnx_model, value
from tests.backends.stages import Copies, batch, config, port, stage
from tests.goldens import GOLDEN, compare

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"


def loaded(path, inputs=X, outputs=Y, contract=None, **options):
    plan = stage("onnx", inputs, outputs, folder=path.parent, artifact=path.name, contract=contract)
    return load("onnx").load(plan, config(**options))


def run(path, *inputs, ports=(X, Y), contract=None, rows=None, on_copy=None):
    given = batch(*inputs, rows=rows)
    result = loaded(path, *ports, contract, on_copy=on_copy).execute(given)
    return OutputCheck(stage("onnx", *ports))(given, result).outputs


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def refused(path, *ports, contract=None):
    with pytest.raises(BackendError) as error:
        loaded(path, *(ports or (X, Y)), contract)
    return str(error.value), error.value.hint


# ---- running


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("f32", np.float32), ("f16", np.float16), ("i64", np.int64), ("i32", np.int32), ("bf16", ml_dtypes.bfloat16)],
)
@pytest.mark.parametrize("rows", [1, 3, 0])
def test_numbers_of_every_width(tmp_path, kind, dtype, rows):
    nodes = [node("Cast", "x", "wide", to=TensorProto.FLOAT), node("Add", "wide wide", "sum")]
    nodes.append(node("Cast", "sum", "y", to=value("y", kind, []).type.tensor_type.elem_type))
    path = onnx_model(tmp_path / "m.onnx", nodes, [value("x", kind, ["N", 4])], [value("y", kind, ["N", 4])])
    (found,) = run(path, ones(rows, 4, dtype=dtype), ports=(f"x: {kind}[*, 4]", f"y: {kind}[*, 4]"), rows=rows)
    assert found.dtype == dtype
    assert found.shape == (rows, 4)
    assert np.all(found.astype(np.float32) == 2)


def test_bf16_results_keep_their_memory(tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Cast", "x", "y", to=TensorProto.BFLOAT16)],
        [value("x", "f32", ["N", 4])],
        [value("y", "bf16", ["N", 4])],
    )
    instance = loaded(path, X, "y: bf16[*, 4]")
    kept = [instance.execute(batch(ones(64, 4) * i)).outputs[0] for i in range(20)]
    del instance
    gc.collect()
    assert all(np.all(found.astype(np.float32) == i) for i, found in enumerate(kept))


def test_text_goes_in_and_out(tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx", [node("Identity", "x", "y")], [value("x", "string", ["N"])], [value("y", "string", ["N"])]
    )
    (found,) = run(path, np.array(["a", "ü"], object), ports=("x: string[*]", "y: string[*]"))
    assert found.tolist() == ["a", "ü"]


def test_single_values_are_python_values(tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Mul", "x k", "y"), node("ReduceSum", "y", "total", keepdims=0)],
        [value("x", "f32", ["S"]), value("k", "f32", [])],
        [value("y", "f32", ["S"]), value("total", "f32", [])],
    )
    found = run(path, ones(3), 2.0, ports=("x: f32[S], k: f32", "total: f32, y: f32[S]"), rows=1)
    assert found[0] == 6.0
    assert type(found[0]) is float


def test_ports_stand_for_named_tensors(tmp_path):
    path = doubling(tmp_path / "m.onnx")
    contract = Contract(tensors_in={"a": TensorName("x")}, tensors_out={"b": TensorName("y")})
    assert run(path, ones(2, 4), ports=("a: f32[*, 4]", "b: f32[*, 4]"), contract=contract)[0].sum() == 16


def test_one_port_and_one_tensor_left_over_match(tmp_path):
    path = doubling(tmp_path / "m.onnx")
    assert run(path, ones(2, 4), ports=("image: f32[*, 4]", "prob: f32[*, 4]"))[0].sum() == 16
    message, hint = refused(path, "image: f32[*, 4]", "prob: f16[*, 4]")
    assert "the file has no output `prob`" in message
    assert "tensors {" in hint


def test_axes_are_permuted_both_ways_and_counted(tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Identity", "data:0", "out:0")],
        [value("data:0", "f32", ["N", 2, 5, 3])],
        [value("out:0", "f32", ["N", 2, 5, 3])],
    )
    contract = Contract(
        tensors_in={"x": TensorName("data:0", (0, 2, 3, 1))}, tensors_out={"y": TensorName("out:0", (0, 2, 3, 1))}
    )
    given, copies = np.random.default_rng(0).random((2, 3, 2, 5), np.float32), Copies()
    ports = ("x: f32[*, 3, 2, 5]", "y: f32[*, 3, 2, 5]")
    (found,) = run(path, given, ports=ports, contract=contract, on_copy=copies)
    assert np.array_equal(found, given)
    assert copies == [(given.nbytes, "permute")] * 2


def test_a_padded_port_has_its_row_axis_and_its_width(tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx", [node("Add", "x x", "y")], [value("x", "f32", ["B", "L"])], [value("y", "f32", ["B", "L"])]
    )
    inputs, outputs = (port("x: f32[*, ~L]", form="padded"),), (port("y: f32[*, ~L]", form="padded"),)
    assert loaded(path, inputs, outputs).execute(batch(ones(2, 5))).outputs[0].shape == (2, 5)
    message, _ = refused(path, "x: f32[*, ~L]", "y: f32[*, ~L]")
    assert "is ragged, and the stage has no rule" in message


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5])
def test_a_fixed_row_axis_is_fed_in_chunks(tmp_path, rows):
    copies, given = Copies(), np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    (found,) = run(doubling(tmp_path / "m.onnx", rows=2), given, contract=Contract(rows=2), on_copy=copies)
    assert np.array_equal(found, given * 2)
    assert bool(copies) == (rows > 2)


def test_results_are_new_memory_each_time(tmp_path):
    instance = loaded(doubling(tmp_path / "m.onnx"))
    first = instance.execute(batch(ones(3, 4))).outputs[0]
    instance.execute(batch(ones(3, 4) * 5))
    instance.execute(batch(ones(2, 4) * 5))
    assert np.all(first == 2)


def test_a_version_fills_in_the_path(tmp_path):
    (tmp_path / "4").mkdir()
    doubling(tmp_path / "4" / "m.onnx")
    plan = stage("onnx", X, Y, folder=tmp_path, artifact="{version}/m.onnx", version=4)
    assert load("onnx").load(plan, config()).execute(batch(ones(1, 4))).outputs[0].sum() == 8
    plan = stage("onnx", X, Y, folder=tmp_path, artifact="{version}/m.onnx")
    with pytest.raises(BackendError, match="the stage has no versions"):
        load("onnx").load(plan, config())


# ---- loading


@pytest.mark.parametrize(
    ("inputs", "outputs", "problem"),
    [
        ("x: i32[*, 4]", Y, "`x` is i32, the file's `x` is f32"),
        (X, "y: f32[*, 5]", "dim 1 of `y` is 5, in the file 4"),
        ("x: f32[*]", Y, "`x` has 1 dims, the file's `x` has 2"),
        ("x: f32[*, S]", Y, "dim 1 of `x` is any `S`, the file takes only 4"),
        (f"{X}, z: f32[*]", Y, "the file has no input `z`"),
        (X, "y: f32[*, 4], z: f32[*]", "the file has no output `z`"),
        ("", Y, "no port for the file's input `x`"),
    ],
)
def test_a_signature_that_disagrees_is_shown_with_the_file(tmp_path, inputs, outputs, problem):
    message, hint = refused(doubling(tmp_path / "m.onnx"), inputs, outputs)
    assert message.startswith("stage `s`: E0310: ")
    assert hint.endswith("; `pipectl explain E0310` says more")
    assert problem in message
    assert "signature: (" in message
    assert "file:      (x: f32[N, 4]) -> (y: f32[N, 4])" in message


def test_one_of_several_versions_that_disagrees(tmp_path):
    message, hint = refused(doubling(tmp_path / "m.onnx"), "x: i32[*, 4]", Y, contract=Contract(versions=(1, 2)))
    assert message.startswith("stage `s`: E0311: ")
    assert "pipectl explain E0311" in hint


def test_the_whole_text_of_a_disagreement(tmp_path):
    message, hint = refused(doubling(tmp_path / "m.onnx"), "data: f32[*, 4], mask: f32[*, 4]", Y)
    compare(GOLDEN / "load" / "E0310.txt", f"{message.replace(str(tmp_path), '.')}\nhint: {hint}\n")


def test_fixed_rows_need_a_word_in_the_stage(tmp_path):
    path = doubling(tmp_path / "m.onnx", rows=8)
    message, hint = refused(path)
    assert "row axis is fixed at 8" in message
    assert "`rows = 8`" in hint
    assert "`rows = 2`, but the file's row axis of `x` is 8" in refused(path, contract=Contract(rows=2))[0]


def test_a_wrong_name_in_tensors(tmp_path):
    contract = Contract(tensors_in={"x": TensorName("data")})
    assert "no input `data`, named in `tensors` for `x`" in refused(doubling(tmp_path / "m.onnx"), contract=contract)[0]


def test_files_that_are_no_models(tmp_path):
    (tmp_path / "text.onnx").write_text("version https://git-lfs")
    (tmp_path / "empty.onnx").touch()
    assert "is not an ONNX model" in refused(tmp_path / "text.onnx")[0]
    assert "is not an ONNX model" in refused(tmp_path / "empty.onnx")[0]
    message, hint = refused(tmp_path / "txt.onnx")
    assert "there is no file" in message
    assert hint == "did you mean `text.onnx`?"
    assert "there is no folder" in refused(tmp_path / "none" / "m.onnx")[1]
    (tmp_path / "folder.onnx").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.onnx")[0]


def test_a_model_from_the_future(tmp_path):
    path = onnx_model(
        tmp_path / "m.onnx",
        [node("Add", "x x", "y")],
        [value("x", "f32", ["N", 4])],
        [value("y", "f32", ["N", 4])],
        opset=99,
    )
    message, hint = refused(path)
    assert "needs a newer ONNX Runtime than" in message
    assert "::" not in message
    assert "older opset" in hint


@pytest.mark.parametrize("location", ["../weights.bin", "{folder}/weights.bin", "link.bin", "none.bin"])
def test_external_data_stays_in_the_models_folder(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    ones(4).tofile(tmp_path / "weights.bin")
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4], [1] * 4)
    path = onnx_model(
        folder / "m.onnx",
        [node("Add", "x w", "y")],
        [value("x", "f32", ["N", 4])],
        [value("y", "f32", ["N", 4])],
        [external(weights, location.format(folder=tmp_path))],
    )
    message, _ = refused(path)
    assert "external data is missing or outside its folder" in message


def external(tensor, location):
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    return tensor


def test_arguments_it_does_not_know(tmp_path):
    doubling(tmp_path / "m.onnx")
    plan = stage("onnx", X, Y, folder=tmp_path, artifact="m.onnx", threads=4)
    with pytest.raises(BackendError, match="no argument `threads`"):
        load("onnx").load(plan, config())
