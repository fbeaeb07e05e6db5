"""The reference of the language names all there is: backends, functions, dtypes; settings with their defaults.

Its last part, the tables of settings, is written by PIPECTL_BLESS=1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import grammar
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.literals import duration
from pipeline_dsl.operations import FUNCTIONS
from pipeline_dsl.settings import BACKENDS, CONTRACT, PIPELINE, STAGE, KeySpec, is_idle
from tests.goldens import compare

REFERENCE = Path(grammar.__file__).with_name("reference.md")
TEXT = REFERENCE.read_text(encoding="utf-8")
CODE = " ".join(re.findall(r"`([^`\n]+)`", TEXT))
BLOCKS = {key.name.partition(".")[0] for key in CONTRACT if not key.backends}
TABLES = "Keys for stages and calls:\n"


@pytest.mark.parametrize("word", [*DTYPES, *FUNCTIONS, *BACKENDS, *sorted(BLOCKS)])
def test_every_word_is_there(word: str) -> None:
    assert re.search(rf"\b{word}\b", CODE)


def test_the_tables_of_settings() -> None:
    compare(REFERENCE, TEXT.partition(TABLES)[0] + "\n".join(_tables()) + "\n")


def _tables() -> Iterator[str]:
    yield from (TABLES, *_table(STAGE), "", "Keys for pipelines:", "", *_table(PIPELINE), "")
    idle = [f"`{key.name}`" for key in (*STAGE, *PIPELINE) if is_idle(key.name) and not key.backends]
    yield f"Checked, and not used in this version: {', '.join(idle)}."


def _table(keys: Iterable[KeySpec]) -> Iterator[str]:
    yield from ("| key | default | meaning |", "|---|---|---|")
    for key in keys:
        if not key.backends and not is_idle(key.name):
            yield f"| `{key.name}` | {_default(key)} | {key.doc} |".replace("|  |", "| |")


def _default(key: KeySpec) -> str:
    if key.default in (None, "", ()):
        return ""
    if isinstance(key.default, bool):
        return str(key.default).lower()
    return duration(key.default) if key.kind == "duration" else str(key.default)
