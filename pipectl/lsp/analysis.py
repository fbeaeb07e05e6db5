"""One look at one text: its mistakes and its index. Runs in a thread of its own; takes values, gives a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipectl.compiling import options
from pipeline_dsl.compile import examine_source
from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.index import Index, build
from pipeline_dsl.index.files import files_of
from pipeline_dsl.source import Source

from .documents import Overlay

SYNTAX = "E000"
"""How the codes of syntax errors begin."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """What was found in one text."""

    text: str
    version: int
    index: Index
    diagnostics: tuple[Diagnostic, ...]
    files: frozenset[str]
    """Paths of the file itself and of all it imports."""

    @property
    def whole(self) -> bool:
        """Whether all of the text could be read."""
        return not any(d.code.startswith(SYNTAX) and d.severity == "error" for d in self.diagnostics)


def analyse(path: str, text: str, version: int, texts: Mapping[str, str]) -> Analysis:
    """Checks a text. `texts`: what is open, by path; everything else is read from the disk."""
    given = replace(options(None, {}), loader=Overlay(texts))
    findings, sink = examine_source(Source(path, text), given)
    index = build(findings)
    return Analysis(text, version, index, tuple(sink.sorted()), frozenset(files_of(findings.scope)))
