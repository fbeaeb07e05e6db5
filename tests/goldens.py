"""Golden files: what a `.pipe` file or a Python file that builds makes the compiler say, and how to compare it."""

from __future__ import annotations

import linecache
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_dsl.check import Options, check
from pipeline_dsl.diagnostics import CompileError, Diagnostic, Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.plan import Gpu, Hardware
from pipeline_dsl.read import read
from pipeline_dsl.source import Source

GOLDEN = Path(__file__).parent / "golden"
MACHINE = Hardware(cores=4, gpus=(Gpu("H200", 141 << 30),))
BLESS = os.environ.get("PIPECTL_BLESS") == "1"
"""Rewrite golden files; the diff is then reviewed."""


@dataclass(frozen=True)
class FolderLoader:
    """Reads imports of golden files: relative to their folder, whatever folder the tests run in."""

    folder: Path

    def read(self, path: str) -> Source:
        return Source(path, (self.folder / path).read_bytes().decode("utf-8"))


def diagnose(path: Path) -> list[Diagnostic]:
    """Everything that is said about a file, in order; the file goes by its bare name.

    Of a text that can not be read whole, what the parser says; what else is found there is tested with `compile`."""
    options = Options(environ={}, search_path=("lib",), loader=FolderLoader(path.parent), hardware=MACHINE)
    sink = Sink()
    try:
        module = parse(read(path, shown=path.name), sink)
    except CompileError as error:
        return error.diagnostics
    if not sink.has_errors:
        check(module, options, sink)
    return sink.sorted()


def diagnose_built(path: Path) -> list[Diagnostic]:
    """Everything that is said about a Python file that builds a module `m`; the file goes by its bare name."""
    text = path.read_text(encoding="utf-8")
    linecache.cache[path.name] = (len(text), None, text.splitlines(keepends=True), path.name)
    found: dict[str, Any] = {"__name__": path.stem}
    try:
        exec(compile(text, path.name, "exec"), found)
        return list(found["m"].check())
    except CompileError as error:
        return error.diagnostics


def compare(path: Path, text: str) -> None:
    """Asserts that a golden file holds this text, or writes it."""
    if BLESS:
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{path.name} is missing; PIPECTL_BLESS=1 writes it"
    assert path.read_text(encoding="utf-8") == text
