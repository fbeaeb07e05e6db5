"""Small programs in a folder of their own, and the command called in this process or another."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipectl import __main__ as command

_names = itertools.count()

STAGES = '''
import threading
from pathlib import Path

from backends.values import InvalidInput

def greet(*, name):
    return [f"Hello, {{one}}!" for one in name]

def count(*, text):
    return [len(one) for one in text]

def strict(*, name):
    if "bad" in name:
        raise InvalidInput("bad is no name")
    if "bug" in name:
        raise ZeroDivisionError("oops")
    return name

class Wait:
    """Says that it runs, and goes on when told."""
    def __init__(self, *, folder):
        self.folder = Path(folder)
    def __call__(self, *, name):
        (self.folder / f"started-{{name}}").touch()
        go = self.folder / "go"
        event = threading.Event()
        while not go.exists():
            event.wait(0.005)
        return name

class Broken:
    def __init__(self):
        raise RuntimeError("no weights here")
    def __call__(self, *, name):
        return name
'''

PIPE = """pipe 1

stage greet(name: string[*]) -> (greeting: string[*])
  using python("{module}:greet")

stage count(text: string[*]) -> (length: i64[*])
  using python("{module}:count")

stage strict(name: string[*]) -> (same: string[*])
  using python("{module}:strict")

## Greets by name.
pipeline hello(name: string, k: i64 = 3) -> (greeting: string, length: i64) {{
  greeting = greet(strict(name))
  return greeting, length = count(greeting)
}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[..., Path]:
    """Writes `hello.pipe`, or a text with `{module}` for the name of its own module of stages."""

    def make(text: str = PIPE, name: str = "hello.pipe") -> Path:
        module = f"stages_{os.getpid()}_{next(_names)}"
        (folder / f"{module}.py").write_text(STAGES.replace("{{", "{").replace("}}", "}"))
        path = folder / name
        path.write_text(text.format(module=module))
        return path

    return make


@pytest.fixture
def hello(write: Callable[..., Path]) -> Path:
    return write()


class Called:
    """What a call of the command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Called]:
    """The command in this process."""

    def run(*args: str | Path) -> Called:
        code = command.run([str(a) for a in args])
        return Called(code, *capsys.readouterr())

    return run


@pytest.fixture
def spawn(folder: Path) -> Callable[..., "subprocess.Popen[str]"]:
    """The command as a process of its own, with pipes."""
    started: list[subprocess.Popen[str]] = []

    def run(*args: str | Path, **more: object) -> "subprocess.Popen[str]":
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        process = subprocess.Popen([sys.executable, "-m", "pipectl", *map(str, args)], text=True, **options)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
