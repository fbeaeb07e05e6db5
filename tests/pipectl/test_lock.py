"""`pipectl lock` and what `pipectl check` says with a lock file beside the text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.backends.models import doubling

PIPE = """pipe 1

stage m using onnx("m.onnx")

stage code(y: f32[*, 3]) -> (z: f32[*, 3])
  using python("lock_code:f")

pipeline p(x: f32[*, 3]) -> (z: f32[*, 3]) {
  return z = code(m(x))
}
"""


@pytest.fixture
def file(folder):
    doubling(folder / "m.onnx", width=3)
    (folder / "lock_code.py").write_text("def f(*, y):\n    return y\n")
    (folder / "p.pipe").write_text(PIPE)
    return Path("p.pipe")


def test_a_stage_without_signature_takes_that_of_the_lock(file, call):
    assert call("check", file).code == 1
    done = call("lock", file)
    assert (done.code, done.out) == (0, "p.pipe.lock: 2 stages, 2 files\n")
    assert call("check", file).out == "no mistakes in p.pipe\n"
    assert "m" in call("plan", file).out


def test_it_runs_with_that_signature(file, call):
    call("lock", file)
    done = call("run", file, "--input", "x=[[1, 2, 3]]")
    assert done.code == 0, done.err
    assert "2" in done.out


def test_the_same_files_give_the_same_text(file, call):
    call("lock", file)
    before = Path("p.pipe.lock").read_bytes()
    assert call("lock", file).out.endswith("as before\n")
    assert Path("p.pipe.lock").read_bytes() == before
    assert call("lock", file, "--check").code == 0


def test_a_changed_file_is_a_warning_and_another_lock(file, call):
    call("lock", file)
    Path("lock_code.py").write_text("def f(*, y):\n    return y + 1\n")
    done = call("check", file)
    assert done.code == 0
    assert "warning[W0310]: `lock_code.py` of stage `code` has changed since it was locked" in done.out
    done = call("lock", file, "--check")
    assert (done.code, done.err) == (1, "p.pipe.lock is not up to date\n")


def test_a_file_that_is_gone_is_a_warning(file, call):
    call("lock", file)
    Path("m.onnx").unlink()
    assert "`m.onnx` of stage `m` is gone since it was locked" in call("check", file).out


def test_a_signature_that_disagrees_is_an_error(file, call):
    call("lock", file)
    file.write_text(PIPE.replace("stage m using", "stage m(x: f64[*, 3]) -> (y: f64[*, 3]) using"))
    done = call("check", file)
    assert done.code == 1
    assert "error[E0310]: stage `m` and m.onnx disagree: `x` is f64, the file's `x` is f32" in done.out


def test_user_code_is_not_imported(file, call):
    Path("lock_code.py").write_text("raise SystemExit('imported')\n")
    assert call("lock", file).code == 0


def test_installed_code_is_not_locked(file, call):
    file.write_text(PIPE.replace("lock_code:f", "json:dumps"))
    call("lock", file)
    assert list(json.loads(Path("p.pipe.lock").read_text())["stages"]) == ["m"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Path("m.onnx").unlink(), "p.pipe:3:20: stage `m`: there is no file m.onnx"),
        (lambda: Path("m.onnx").write_bytes(b"not a model"), "stage `m`: m.onnx can not be read: "),
        (lambda: Path("p.pipe").write_text("pipe 1\n\nstage m(\n"), "error[E0003]"),
        (lambda: Path("p.pipe").write_text(PIPE.replace("onnx(", "onx(")), "there is no backend `onx`"),
    ],
)
def test_what_can_not_be_locked(file, call, change, message):
    change()
    done = call("lock", file)
    assert done.code == 3
    assert message in done.err
    assert not Path("p.pipe.lock").exists()


def test_versions_with_other_tensors_are_refused(file, call):
    doubling("m1.onnx", width=3)
    doubling("m2.onnx", width=4)
    file.write_text(PIPE.replace('onnx("m.onnx")', 'onnx("m{version}.onnx", versions = [1, 2])'))
    done = call("lock", file)
    assert done.code == 3
    assert "stage `m`: E0311: m1.onnx and m2.onnx have different tensors" in done.err


def test_a_lock_file_that_is_none(file, call):
    Path("p.pipe.lock").write_text("<<<<<<<\n")
    assert "error[E0316]" in call("check", file).out
    assert call("lock", file).code == 0
    assert call("check", file).code == 0
