"""Repositories that can not be imported: each mistake with its place, nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipectl.__main__ import run
from pipectl.errors import ConversionError
from pipectl.interop.triton.importing import imported
from pipectl.interop.triton.repository import MIB, read_repository

MODEL = """
backend: "onnxruntime" max_batch_size: 8
input [ { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""


def repository(folder: Path, **configs: str | bytes) -> Path:
    for name, text in configs.items():
        (folder / name / "1").mkdir(parents=True)
        raw = text if isinstance(text, bytes) else text.encode()
        (folder / name / "config.pbtxt").write_bytes(raw)
    return folder


def ensemble(*steps: str, output: str = "out") -> str:
    return f"""
        platform: "ensemble" max_batch_size: 8
        input [ {{ name: "in" data_type: TYPE_FP32 dims: [ 4 ] }} ]
        output [ {{ name: "{output}" data_type: TYPE_FP32 dims: [ 4 ] }} ]
        ensemble_scheduling {{ step [ {", ".join(steps)} ] }}
    """


def step(model: str, reads: str, makes: str, port: str = "x", out: str = "y") -> str:
    return f"""{{ model_name: "{model}" model_version: -1
        input_map {{ key: "{port}" value: "{reads}" }} output_map {{ key: "{out}" value: "{makes}" }} }}"""


def refused(folder: Path) -> str:
    with pytest.raises(ConversionError) as caught:
        imported(read_repository(folder, folder))
    return str(caught.value).replace(str(folder), ".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\nmax_batchsize: 8",
            "./m/config.pbtxt:2:1: model `m`: `ModelConfig` has no field `max_batchsize`; ",
        ),
        ('input { name: "x" shape: [1] }', "1:19: model `m`: `ModelInput` has no field `shape`; did you mean"),
        ("input { data_type: TYPE_FLOAT }", "`DataType` has no value `TYPE_FLOAT`; "),
        ("input {", "./m/config.pbtxt:1:"),
        ("max_batch_size: 1.5", "./m/config.pbtxt:1:17: model `m`:"),
        ("max_batch_size: 99999999999", "Value out of range"),
        (b'name: "\xff"', "./m/config.pbtxt:1: byte 7 is no UTF-8"),
        (b"#" * ((MIB << 20) + 1), "it is larger than 4 MiB"),
        ('name: "../../m"', "its name is `../../m`, and its folder `m`"),
        (
            'backend: "onnxruntime" default_model_filename: "../secret"',
            "file `../secret` is outside of the model's folder",
        ),
        ('cc_model_filenames { key: "7" value: "/etc/passwd" }', "file `/etc/passwd` is outside"),
        ("instance_group {" * 200, "./m/config.pbtxt"),
    ],
)
def test_a_configuration_that_is_none(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refused(repository(tmp_path, m=text))


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("modle", "in", "out")], "step 1 (`modle`): the repository has no model `modle`; did you mean `model`?"),
        ([step("model", "in", "out", port="X1")], "step 1 (`model`): its model has no input `X1`"),
        ([step("model", "in", "out", port="X1")], "step 1 (`model`): input `x` is not in its input_map"),
        ([step("model", "in", "out", out="z")], "step 1 (`model`): its model has no output `z`; "),
        ([step("model", "inn", "out")], "step 1 (`model`): nothing makes `inn`; did you mean `in`?"),
        ([step("model", "in", "outt")], "nothing makes the output `out`; did you mean `outt`?"),
        ([step("model", "in", "out")] * 2, "step 2 (`model`): makes `out`, which step 1 (`model`) makes already"),
        ([step("model", "in", "in")], "step 1 (`model`): makes `in`, which is an input of the ensemble"),
        (
            [step("model", "out", "mid"), step("model", "mid", "out")],
            "steps wait for each other: step ",
        ),
        ([], "the ensemble has no steps"),
    ],
)
def test_an_ensemble_that_triton_would_not_load(tmp_path: Path, steps: list[str], message: str) -> None:
    text = refused(repository(tmp_path, model=MODEL, both=ensemble(*steps)))
    assert f"./both/config.pbtxt: ensemble `both`: {message}" in text


def test_ensembles_that_call_each_other(tmp_path: Path) -> None:
    one = ensemble(step("two", "in", "out", port="in", out="out"))
    two = ensemble(step("one", "in", "out", port="in", out="out"))
    assert "ensembles call each other: `" in refused(repository(tmp_path, one=one, two=two))


def test_all_mistakes_of_all_models_are_told_at_once(tmp_path: Path) -> None:
    text = refused(repository(tmp_path, a="bad: 1", b=MODEL, c="input {", d='name: "e"'))
    assert [line.partition("/config")[0] for line in text.splitlines()] == ["./a", "./c", "./d"]


def test_a_key_that_is_twice_in_a_map_is_told(tmp_path: Path) -> None:
    double = 'parameters { key: "k" value { string_value: "1" } }' * 2
    result = imported(read_repository(repository(tmp_path, m=MODEL + double), tmp_path))
    assert "`parameters` has `k` twice; the last one counts" in {r.text for r in result.remarks}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nothing", "there is no such folder"),
        (lambda folder: _file(folder), "is not a folder"),
        (lambda folder: folder, "there is no model in it"),
    ],
)
def test_a_folder_that_is_no_repository(tmp_path, make, message, capsys) -> None:
    assert run(["import", "triton", str(make(tmp_path))]) == 3
    assert message in capsys.readouterr().err


def _file(folder: Path) -> Path:
    path = folder / "file"
    path.write_text("")
    return path


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_configuration_that_can_not_be_read(tmp_path: Path) -> None:
    repository(tmp_path, m=MODEL)
    (tmp_path / "m" / "config.pbtxt").chmod(0)
    assert "permission denied" in refused(tmp_path)


def test_a_folder_in_place_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "m" / "config.pbtxt").mkdir(parents=True)
    assert "./m/config.pbtxt: is a directory" in refused(tmp_path)


def test_nothing_is_written_when_something_is_wrong(tmp_path: Path) -> None:
    target = tmp_path / "out.pipe"
    target.write_text("pipe 1\n")
    models = repository(tmp_path / "models", m="bad: 1")
    assert run(["import", "triton", str(models), "-o", str(target)]) == 3
    assert target.read_text() == "pipe 1\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models", "out.pipe"]


def test_a_model_without_configuration_is_taken_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "bare" / "3").mkdir(parents=True)
    (tmp_path / "bare" / "3" / "model.onnx").write_bytes(b"")
    (tmp_path / "notes").mkdir()
    (entry,) = read_repository(tmp_path, tmp_path)
    assert (entry.folder, entry.data["backend"], entry.place.versions) == ("bare", "onnxruntime", (3,))
    assert {"has no config.pbtxt", "inputs and outputs are left to the artifact: `pipectl lock` writes them down"} <= {
        r.text for r in imported([entry]).remarks
    }
