"""Each exit code, and what is said on stderr with it. No traceback unless asked for."""

import os
import subprocess
import sys

import pytest

BAD = "pipe 1\npipeline p(x: string) -> (y: string) {{\n  return y = nothing(x)\n}}\n"
BROKEN = (
    'pipe 1\nstage b(name: string) -> (out: string)\n  using python("{module}:Broken")\n'
    "pipeline p(name: string) -> (out: string) {{\n  return out = b(name)\n}}\n"
)


def test_0_ok(hello, call):
    assert call("check", hello).code == 0


def test_1_problems(write, call):
    done = call("check", write(BAD))
    assert done.code == 1
    assert "error[E0103]" in done.out
    assert "Traceback" not in done.err


def test_2_usage(call):
    done = call("chek")
    assert done.code == 2
    assert "error: No such command 'chek'" in done.err


@pytest.mark.parametrize("command", [("run", "--input", "x=1"), ("plan",), ("graph",)])
def test_3_a_file_that_does_not_compile(write, call, command):
    name, *options = command
    done = call(name, write(BAD), *options)
    assert done.code == 3
    assert "error[E0103]" in done.err
    assert done.out == ""


def test_3_a_file_that_is_not_there(call, folder):
    done = call("run", folder / "none.pipe")
    assert done.code == 3
    assert "none.pipe" in done.err


def test_3_a_stage_that_does_not_load(write, call):
    done = call("run", write(BROKEN), "--input", "name=a")
    assert done.code == 3
    assert "stage `b`" in done.err
    assert "no weights here" in done.err
    assert "Traceback" not in done.err


def test_3_a_stage_that_does_not_load_costs_no_answers(write, call, folder):
    (folder / "out.jsonl").write_text("answers of yesterday")
    assert call("run", write(BROKEN), "--input", "name=a", "--output", "out.jsonl").code == 3
    assert (folder / "out.jsonl").read_text() == "answers of yesterday"


def test_3_a_package_for_bf16_that_is_missing(folder, call, monkeypatch):
    (folder / "bf16.pipe").write_text(
        "pipe 1\nstage s(x: bf16) -> (y: bf16)\n  using null()\n"
        "pipeline p(x: bf16) -> (y: bf16) {\n  return y = s(x)\n}\n"
    )
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    done = call("run", "bf16.pipe", "--input", "x=1")
    assert done.code == 3
    assert "pip install ml-dtypes" in done.err


def test_debug_shows_the_traceback(write, call):
    pipe = write(BROKEN)
    assert "Traceback" in call("run", pipe, "--input", "name=a", "--debug").err
    assert "Traceback" in call("--debug", "run", pipe, "--input", "name=a").err


def test_4_a_request_that_failed(hello, call):
    assert call("run", hello, "--input", "name=bad").code == 4


def test_4_an_answer_that_can_not_be_written(write, call):
    pipe = write(
        'pipe 1\nstage count(text: string[*]) -> (length: i64[*])\n  using python("{module}:count")\n'
        "pipeline p(x: bytes) -> (y: bytes) {{\n  return y = x\n}}\n"
    )
    done = call("run", pipe, "--input", "x=a", "--output", "a.npz")
    assert done.code == 4
    assert "output `y` does not fit an .npz file" in done.err


def test_a_mistake_of_ours_says_so(hello, call, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("pipectl.hardware.probe", fail)
    done = call("plan", hello)
    assert done.code == 4
    assert "KeyError: 'surprise'" in done.err
    assert "--debug shows where" in done.err
    assert "Traceback" not in done.err


def test_141_when_the_reader_goes_away(hello, spawn):
    reader, writer = os.pipe()
    os.close(reader)
    process = spawn("check", hello, stdout=writer)
    os.close(writer)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


def test_the_module_and_the_console_script_are_one_command():
    version = [sys.executable, "-m", "pipectl", "--version"]
    done = subprocess.run(version, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("pipectl 0.")
