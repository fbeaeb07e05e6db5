"""The repository of configurations that the tests convert, one at a time with what it calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipectl.interop.triton.exporting import exported
from pipectl.interop.triton.importing import Entry, Imported, imported
from pipectl.interop.triton.normal import comparable, normal
from pipectl.interop.triton.overlay import data_of
from pipectl.interop.triton.repository import read_repository
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_text
from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.ir import Program
from pipeline_dsl.unparse import to_text

REPOSITORY = Path(__file__).parent / "repository"
ENTRIES = {e.folder: e for e in read_repository(REPOSITORY, REPOSITORY)}


def with_callees(name: str, entries: dict[str, Entry] = ENTRIES) -> list[Entry]:
    """A model and everything that it calls."""
    found = {name: entries[name]}
    for step in entries[name].data.get("ensemble_scheduling", {}).get("step", ()):
        found |= {e.folder: e for e in with_callees(step["model_name"], entries)}
    return list(found.values())


def text_of(result: Imported) -> str:
    return to_text(result.module)


def checked(text: str, profile: str | None = None) -> tuple[Program | None, list[Diagnostic]]:
    profile = profile if profile is None or f"profile {profile} " in text else None
    program, sink = check_text(text, Options(profile=profile, environ={}), path="imported.pipe")
    return program, sink.sorted()


def there_and_back(entries: list[Entry]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configurations as they were and as they come back, in their comparable form."""
    program, found = checked(text_of(imported(entries)), "triton")
    assert program is not None, [d.message for d in found]
    repository = exported(program)
    assert not repository.reasons, [r.text for r in repository.reasons]
    after = {e.folder: comparable(normal(data_of(e.config))) for e in repository.entries}
    return {e.folder: comparable(normal(e.data, e.folder)) for e in entries}, after
