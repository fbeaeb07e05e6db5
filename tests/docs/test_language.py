"""docs/language.md runs: its files are written to a folder, its commands print what stands below them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "language.md"
ROOT = PAGE.parents[1]
BLESS = os.environ.get("PIPECTL_BLESS") == "1"
FENCE = re.compile(r"(?ms)^```(\w+)\n(.*?)^```$")


@dataclass(frozen=True)
class Command:
    line: str
    expected: str


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def files() -> dict[str, str]:
    """What each named block holds: the name stands in code just above it, before a colon."""
    named = re.compile(r"(?ms)`([\w.]+)`:\n\n```(?:pipe|python)\n(.*?)^```$")
    return {match[1]: match[2] for match in named.finditer(text())}


def commands() -> Iterator[Command]:
    for match in FENCE.finditer(text()):
        if match[1] == "console":
            for part in re.split(r"(?m)^\$ ", match[2])[1:]:
                line, _, expected = part.partition("\n")
                yield Command(line, expected)


def run(line: str, folder: Path) -> str:
    """What a command prints, without the table of timings that follows answers."""
    program, *arguments = shlex.split(line)
    assert program == "pipectl"
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-m", "pipectl", *arguments],
        capture_output=True, text=True, cwd=folder, env=environ, timeout=120, check=False,
    )  # fmt: skip
    if arguments[0] == "run":
        assert done.returncode == 0, done.stderr
        return done.stdout.partition("\n\n")[0].rstrip("\n") + "\n"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("language")
    for name, content in files().items():
        (place / name).write_text(content, encoding="utf-8")
    return place


def test_every_block_has_a_file_or_a_command() -> None:
    kinds = [match[1] for match in FENCE.finditer(text())]
    assert set(kinds) == {"pipe", "python", "console"}
    assert len(files()) == len(kinds) - kinds.count("console")
    used = " ".join(command.line for command in commands())
    imported = {"stages.py", "parts.pipe"}
    assert all(name in used for name in files().keys() - imported)


def test_each_construct_is_shown() -> None:
    programs = "\n".join(files().values())
    for word in ("if ", "match ", "map ", "route by ", "try (", "stream ", "collect(", "state ", "param ", "profile "):
        assert word in programs, word


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.line)
def test_it_prints_what_the_page_says(command: Command, folder: Path) -> None:
    printed = run(command.line, folder)
    if BLESS:
        old = f"$ {command.line}\n{command.expected}"
        PAGE.write_text(text().replace(old, f"$ {command.line}\n{printed}"), encoding="utf-8")
    else:
        assert printed == command.expected


def test_its_files_have_the_one_layout(folder: Path) -> None:
    pipes = [name for name in files() if name.endswith(".pipe")]
    assert run(shlex.join(["pipectl", "fmt", "--check", *pipes]), folder) == ""
