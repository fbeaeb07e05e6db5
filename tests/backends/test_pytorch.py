"""Backend `torch`: three kinds of files, no code run from them, no memory shared by accident."""

import sys
import textwrap
import warnings
import zipfile

import numpy as np
import pytest

from backends import BackendError, load
from backends.checks import OutputCheck, OutputError
from backends.importer import forget
from pipeline_dsl.ir import Contract
from tests.backends.stages import Copies, batch, config, port, stage

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"


class Affine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4,), 2.0))
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, x):
        return x * self.weight


def function(forward):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("kept", torch.ones(3, 4))

    Module.forward = forward
    return Module()


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def exported(path, module, *examples, rows=None):
    sizes = None
    if rows:
        sizes = tuple({0: rows} if isinstance(e, torch.Tensor) and e.ndim else None for e in examples)
    torch.export.save(torch.export.export(module, examples, dynamic_shapes=sizes), path)
    return path


def scripted(path, module, *examples):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, examples), str(path))
    return path


def loaded(path, inputs=X, outputs=Y, contract=None, on_copy=None, threads=1, **arguments):
    plan = stage("torch", inputs, outputs, folder=path.parent, artifact=path.name, contract=contract, **arguments)
    return load("torch").load(plan, config(on_copy=on_copy, threads=threads))


def run(path, *inputs, ports=(X, Y), rows=None, **options):
    given = batch(*inputs, rows=rows)
    result = loaded(path, *ports, **options).execute(given)
    return OutputCheck(stage("torch", *ports))(given, result).outputs


def refused(path, *ports, **options):
    with pytest.raises(BackendError) as error:
        loaded(path, *(ports or (X, Y)), **options)
    return str(error.value), error.value.hint


ROWS = torch.export.Dim("rows", min=1, max=1024)


def test_an_exported_program(tmp_path):
    path = exported(tmp_path / "m.pt2", Affine(), torch.ones(3, 4), rows=ROWS)
    assert np.array_equal(run(path, ones(5, 4))[0], ones(5, 4) * 2)


def test_torchscript(tmp_path):
    path = scripted(tmp_path / "m.ts", Affine(), torch.ones(3, 4))
    assert np.array_equal(run(path, ones(5, 4))[0], ones(5, 4) * 2)


def test_arguments_with_defaults_need_no_port(tmp_path):
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
            return x * scale

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(Scaled()), str(tmp_path / "m.pt"))
    assert run(tmp_path / "m.pt", ones(1, 4))[0].sum() == 8
    assert run(tmp_path / "m.pt", ones(1, 4), 3.0, ports=(f"{X}, scale: f32", Y))[0].sum() == 12


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_weights_with_a_factory(tmp_path, kind):
    path = tmp_path / f"weights.{kind}"
    if kind == "pt":
        torch.save({"0.weight": torch.eye(4) * 3, "0.bias": torch.zeros(4)}, path)
    else:
        from safetensors.torch import save_file

        save_file({"0.weight": torch.eye(4) * 3, "0.bias": torch.zeros(4)}, path)
    code = "import torch\ndef build(*, width): return torch.nn.Sequential(torch.nn.Linear(width, width))"
    (tmp_path / "torch_user.py").write_text(textwrap.dedent(code))
    try:
        assert np.array_equal(run(path, ones(2, 4), factory="torch_user:build", width=4)[0], ones(2, 4) * 3)
        assert "do not fit the module" in refused(path, factory="torch_user:build", width=5)[0]
        assert "`build`" in refused(path, factory="torch_user:build")[0]
    finally:
        forget(tmp_path)


def test_weights_alone_are_no_model(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    assert "factory" in refused(tmp_path / "w.safetensors")[1]
    torch.save({"w": torch.ones(1)}, tmp_path / "w.pt")
    assert "factory" in refused(tmp_path / "w.pt")[1]


def test_outputs_by_position_or_by_name(tmp_path):
    tuple_path = exported(tmp_path / "t.pt2", function(lambda m, x: (x, x * 2)), torch.ones(3, 4), rows=ROWS)
    dict_path = exported(
        tmp_path / "d.pt2", function(lambda m, x: {"z": x * 2, "more": x, "y": x + 0}), torch.ones(3, 4), rows=ROWS
    )
    ports = (X, "y: f32[*, 4], z: f32[*, 4]")
    for path in (tuple_path, dict_path):
        found = run(path, ones(3, 4), ports=ports)
        assert [v.sum() for v in found] == [12, 24]
    with pytest.raises(OutputError, match="output `q`: the module's dict has no such key: z, more, y"):
        run(dict_path, ones(3, 4), ports=(X, "q: f32[*, 4]"))
    with pytest.raises(OutputError, match=r"1 outputs are expected .y., the module returns 2"):
        run(tuple_path, ones(3, 4))


def test_bf16_and_single_values(tmp_path):
    import ml_dtypes

    path = exported(tmp_path / "m.pt2", function(lambda m, x: (x * 2, x.sum())), torch.ones(4, dtype=torch.bfloat16))
    ports = ("x: bf16[4]", "y: bf16[4], total: f32")
    found = run(path, ones(4, dtype=ml_dtypes.bfloat16), ports=ports, rows=1)
    assert found[0].dtype == ml_dtypes.bfloat16
    assert found[0].astype(np.float32).tolist() == [2] * 4
    assert found[1] == 4.0


def test_an_input_returned_is_the_same_memory_and_a_buffer_is_not(tmp_path):
    path = exported(tmp_path / "m.pt2", function(lambda m, x: (x.view(3, 4), m.kept.view(3, 4))), torch.ones(3, 4))
    given, copies = ones(3, 4), Copies()
    contract = Contract(rows=3)
    instance = loaded(path, X, "y: f32[*, 4], z: f32[*, 4]", contract=contract, on_copy=copies)
    first, second = instance.execute(batch(given)).outputs, instance.execute(batch(given)).outputs
    assert np.shares_memory(first[0], given)
    assert not np.shares_memory(first[1], second[1])
    assert copies == [(48, "shared buffer")] * 2


def test_memory_a_module_keeps_outside_its_buffers_is_not_handed_out_either(tmp_path):
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(1)}, tmp_path / "w.safetensors")
    code = """
        import torch

        class Keeps(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(1))
                self.scratch = torch.zeros(2, 4)

            def forward(self, x):
                return torch.mul(x, self.weight, out=self.scratch)
    """
    (tmp_path / "torch_keeps.py").write_text(textwrap.dedent(code))
    try:
        instance = loaded(tmp_path / "w.safetensors", factory="torch_keeps:Keeps")
        first, second = (instance.execute(batch(ones(2, 4) * n)).outputs[0] for n in (1, 2))
        assert (first.sum(), second.sum()) == (8, 16)
        instance.close()
    finally:
        forget(tmp_path)


def test_a_missing_safetensors_names_the_extra(tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").touch()
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    message, hint = refused(tmp_path / "w.safetensors", factory="torch.nn:Identity")
    assert "safetensors" in message
    assert hint == "pip install 'pipectl[torch]'"


def test_a_module_that_writes_its_input_is_caught(tmp_path):
    path = scripted(tmp_path / "m.ts", function(lambda m, x: x.add_(1)), torch.ones(3, 4))
    with pytest.raises(OutputError, match="writes its input `x`"):
        loaded(path).execute(batch(ones(3, 4)))


def test_results_carry_no_gradients(tmp_path):
    found = loaded(scripted(tmp_path / "m.ts", Affine(), torch.ones(3, 4))).execute(batch(ones(1, 4))).outputs[0]
    assert isinstance(found, np.ndarray)


def test_threads_are_set_for_the_calling_thread(tmp_path):
    before = torch.get_num_threads()
    instance = loaded(exported(tmp_path / "m.pt2", Affine(), torch.ones(3, 4), rows=ROWS), threads=1)
    instance.execute(batch(ones(1, 4)))
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_fixed_rows_are_fed_in_chunks(tmp_path):
    path = exported(tmp_path / "m.pt2", Affine(), torch.ones(2, 4))
    message, hint = refused(path)
    assert "was exported for float32[2, 4]" in message
    assert "`rows = 2`" in hint
    found = run(path, ones(5, 4), contract=Contract(rows=2))[0]
    assert np.array_equal(found, ones(5, 4) * 2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("x: f32[*, 5]", r"port `x` is f32[*, 5]"),
        ("x: i32[*, 4]", "port `x` is i32[*, 4]"),
        ("x: f32[*]", "port `x` is f32[*]"),
        (f"{X}, z: f32[*]", "takes 1 inputs, the signature has 2 (x, z)"),
        ("x: string[*]", "torch takes numbers only"),
        ("x: f32[*, ~L]", "is ragged, and the stage has no rule"),
    ],
)
def test_a_signature_that_disagrees(tmp_path, inputs, message):
    path = exported(tmp_path / "m.pt2", Affine(), torch.ones(3, 4), rows=ROWS)
    found = refused(path, inputs, Y)[0]
    assert message in found
    assert ("E0310" in found) == ("port" in message or "inputs" in message)


def test_a_padded_port(tmp_path):
    width = torch.export.Dim("L", min=1, max=64)
    module = function(lambda m, x: x * 2)
    program = torch.export.export(module, (torch.ones(3, 5),), dynamic_shapes=({0: ROWS, 1: width},))
    torch.export.save(program, tmp_path / "m.pt2")
    ports = (port("x: f32[*, ~L]", form="padded"),), (port("y: f32[*, ~L]", form="padded"),)
    assert run(tmp_path / "m.pt2", ones(2, 7), ports=ports)[0].shape == (2, 7)


def test_files_that_are_no_models(tmp_path):
    for name in ("m.pt2", "m.pt", "m.ts"):
        (tmp_path / name).write_text("no model")
        assert "is not a model that can be loaded" in refused(tmp_path / name)[0]
    (tmp_path / "m.onnx").write_text("")
    assert "is no torch file by its name" in refused(tmp_path / "m.onnx")[0]
    assert "there is no file" in refused(tmp_path / "none.pt2")[0]


class Bomb:
    def __reduce__(self):
        return exec, ("import sys; sys.bomb = True",)


def test_pickled_code_never_runs(tmp_path):
    torch.save(Bomb(), tmp_path / "m.pt")
    refused(tmp_path / "m.pt")
    refused(tmp_path / "m.pt", factory="torch.nn:Identity")
    assert not hasattr(sys, "bomb")


@pytest.mark.parametrize("member", ["data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt"])
def test_pickled_code_in_a_pt2_never_runs(tmp_path, member):
    path, bad = exported(tmp_path / "m.pt2", Affine(), torch.ones(3, 4), rows=ROWS), tmp_path / "bad.pt2"
    torch.save(Bomb(), tmp_path / "bomb.pt")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(bad, "w") as target:
        root = source.namelist()[0].partition("/")[0]
        for name in source.namelist():
            if name != f"{root}/{member}":
                target.writestr(name, source.read(name))
        target.writestr(f"{root}/{member}", (tmp_path / "bomb.pt").read_bytes())
    assert "could run code" in refused(bad)[0]
    assert not hasattr(sys, "bomb")


def test_arguments_without_use(tmp_path):
    path = exported(tmp_path / "m.pt2", Affine(), torch.ones(3, 4), rows=ROWS)
    assert "argument `width` has no use without a factory" in refused(path, width=3)[0]
    assert "factory needs a file of weights" in refused(path, factory="torch.nn:Identity")[0]
