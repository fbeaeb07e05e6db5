"""Texts to indexes, for tests."""

from __future__ import annotations

from pathlib import Path

from pipeline_dsl.check import Options, TextLoader
from pipeline_dsl.compile import examine_source
from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.index import Index, build
from pipeline_dsl.source import Source
from tests.goldens import GOLDEN

FOLDER = GOLDEN / "index"
FILES = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.pipe"))}
SAMPLE = FILES["sample.pipe"]


def indexed(text: str, path: str = "sample.pipe", files: dict[str, str] | None = None) -> Index:
    return looked_at(text, path, FILES if files is None else files)[0]


def looked_at(text: str, path: str, files: dict[str, str]) -> tuple[Index, list[Diagnostic]]:
    options = Options(environ={}, loader=TextLoader(files))
    findings, sink = examine_source(Source(path, text), options)
    return build(findings), sink.sorted()


def on_disk(path: Path, text: str) -> tuple[Index, list[Diagnostic]]:
    """A text in the place of a file."""
    findings, sink = examine_source(Source(str(path), text), Options(environ={}))
    return build(findings), sink.sorted()


def marked(text: str) -> tuple[str, int]:
    """The text without its `|`, and where that was."""
    offset = text.index("|")
    return text[:offset] + text[offset + 1 :], offset
