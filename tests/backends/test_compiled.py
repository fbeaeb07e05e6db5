"""Packages that AOTInductor compiled: run where the stage says so, for the device they were compiled for."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile

import numpy as np
import pytest

from backends import BackendError, load
from backends.checks import OutputCheck
from tests.backends.fake_cuda import installed
from tests.backends.stages import batch, config, stage

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler, which AOTInductor needs"),
]

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """relu(x) * 2, with any number of rows of four."""

    class Double(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x) * 2

    rows = torch.export.Dim("rows", min=1, max=1024)
    program = torch.export.export(Double(), (torch.ones(3, 4),), dynamic_shapes={"x": {0: rows}})
    path = tmp_path_factory.mktemp("compiled") / "double.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's own use of deprecated calls
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))
    return path


def loaded(path, device="cpu", inputs=X, outputs=Y, **arguments):
    plan = stage("torch", inputs, outputs, folder=path.parent, artifact=path.name, **arguments)
    return load("torch").load(plan, config(device=device))


def refused(path, **options):
    with pytest.raises(BackendError) as error:
        loaded(path, **options)
    return str(error.value), error.value.hint


@pytest.mark.timeout(600)  # a C++ compiler is at work
def test_a_package_runs_where_the_stage_says_so(package):
    instance = loaded(package, compiled=True)
    check = OutputCheck(stage("torch", X, Y))
    kept = []
    for rows in (1, 5, 3):
        x = np.random.default_rng(rows).standard_normal((rows, 4)).astype(np.float32)
        given = batch(x)
        kept.append((check(given, instance.execute(given)).outputs[0], np.maximum(x, 0) * 2))
    assert all(np.array_equal(found, wanted) for found, wanted in kept)
    assert not instance.asynchronous
    instance.close()


def test_it_does_not_run_unasked(package):
    message, hint = refused(package)
    assert "holds compiled code, which is run only where the stage says so" in message
    assert "`compiled = true`" in hint


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ("x: f32[*, 3]", "port `x` is f32[*, 3]"),
        ("x: f32[*]", "port `x` is f32[*]"),
        ("x: f32[*, 2, 2]", "port `x` is f32[*, 2, 2]"),
        ("x: f64[*, 4]", "port `x` is f64[*, 4]"),
    ],
)
def test_a_signature_of_other_arrays_would_be_read_past_their_end(package, inputs, message):
    text, hint = refused(package, compiled=True, inputs=inputs)
    assert "E0310" in text
    assert message in text
    assert "was exported for float32[?, 4]" in text
    assert hint


def test_a_package_for_another_kind_of_device(package, tmp_path, monkeypatch):
    with installed(monkeypatch):
        message, hint = refused(package, device="cuda:0", compiled=True)
    assert "was compiled for cpu, the stage runs on cuda:0" in message
    assert "`device = cpu`" in hint
    with zipfile.ZipFile(tmp_path / "gpu.pt2", "w") as archive:
        archive.writestr("m/data/aotinductor/model/a_metadata.json", json.dumps({"AOTI_DEVICE_KEY": "cuda"}))
    message, hint = refused(tmp_path / "gpu.pt2", compiled=True)
    assert "was compiled for cuda, the stage runs on cpu" in message
    assert "`device = cuda(0)`" in hint


def test_files_that_are_no_packages(tmp_path):
    (tmp_path / "text.pt2").write_text("no package")
    assert "is not a model that can be loaded" in refused(tmp_path / "text.pt2", compiled=True)[0]
    with zipfile.ZipFile(tmp_path / "plain.pt2", "w") as archive:
        archive.writestr("m/data/weights/model.pt", b"")
    message, hint = refused(tmp_path / "plain.pt2", compiled=True)
    assert "is not a package compiled by AOTInductor" in message
    assert "leave out `compiled`" in hint
    assert "takes no factory" in refused(tmp_path / "plain.pt2", compiled=True, factory="torch.nn:Identity")[0]
