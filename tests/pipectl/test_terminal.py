"""What a terminal sees and a pipe does not: colour and the progress bar."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl.console import use_color

BAD = "pipe 1\npipeline p(x: string) -> (y: string) {{\n  return y = nothing(x)\n}}\n"
ESCAPE = "\x1b["


class Stream:
    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


@pytest.mark.parametrize(
    ("terminal", "choice", "environment", "colored"),
    [
        (True, "auto", {}, True),
        (False, "auto", {}, False),
        (True, "auto", {"NO_COLOR": "1"}, False),
        (True, "auto", {"NO_COLOR": ""}, True),
        (False, "auto", {"FORCE_COLOR": "1"}, True),
        (False, "auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (True, "auto", {"TERM": "dumb"}, False),
        (True, "never", {"FORCE_COLOR": "1"}, False),
        (False, "always", {"NO_COLOR": "1"}, True),
    ],
)
def test_who_decides_about_colour(monkeypatch, terminal, choice, environment, colored):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert use_color(Stream(terminal), choice) is colored


@pytest.fixture
def terminal(folder: Path) -> Callable[..., str]:
    """What the command writes to a terminal; `out` sends stdout elsewhere."""

    def run(*args: str | Path, out: int | None = None) -> str:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "pipectl", *map(str, args)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        options = {"stdin": subprocess.DEVNULL, "stdout": theirs if out is None else out, "stderr": theirs}
        with subprocess.Popen(command, env=environment, **options) as process:
            os.close(theirs)
            text = b""
            while chunk := _read(ours):
                text += chunk
            process.wait(timeout=60)
        os.close(ours)
        return text.decode()

    return run


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # the other end was closed
        return b""


def test_a_terminal_gets_colour_and_a_pipe_does_not(write, terminal, call):
    pipe = write(BAD)
    assert ESCAPE in terminal("check", pipe)
    assert ESCAPE not in terminal("check", pipe, "--color", "never")
    assert ESCAPE not in call("check", pipe).out
    assert ESCAPE in call("check", pipe, "--color", "always").out


def many(folder: Path) -> str:
    (folder / "in.jsonl").write_text("".join(json.dumps({"name": str(n)}) + "\n" for n in range(200)))
    return "in.jsonl"


def test_progress_on_a_terminal(hello, terminal, folder):
    shown = terminal("run", hello, "--jsonl", many(folder), "--output", "out.jsonl")
    assert "running" in shown
    assert ESCAPE in shown
    assert "200 answers in" in shown


def test_no_progress_in_a_pipe(hello, call, folder):
    done = call("run", hello, "--jsonl", many(folder), "--output", "out.jsonl")
    assert "running" not in done.out + done.err
    assert ESCAPE not in done.out + done.err


def test_progress_does_not_get_into_the_answers(hello, terminal, folder):
    with (folder / "answers.jsonl").open("w") as file:
        shown = terminal("run", hello, "--jsonl", many(folder), "--format", "json", out=file.fileno())
    assert "running" in shown
    assert len([json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]) == 200


def test_answers_on_a_terminal_are_whole_lines(hello, terminal):
    names = [x for n in range(100) for x in ("--input", f"name=n{n}")]
    lines = [line.split() for line in terminal("run", hello, *names).splitlines()]
    for n in range(1, 100):  # the first line follows the bar's last escape
        assert [str(n), "Hello,", f"n{n}!", str(len(f"Hello, n{n}!"))] in lines
