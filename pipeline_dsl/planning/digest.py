"""The identity of a program: sha256 over its stages, its graphs and the parameters they were made with.

Layout, comments, docs and the schedule have no part in it: programs with one digest give the same answers under any
profile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from pipeline_dsl.ir import Program, Stage
from pipeline_dsl.ir_text import signature_text, to_text

_LINE = re.compile(r", line \d+\b")
"""In the name of a size that a call made: `L of tokenize, line 22`."""


def digest(program: Program) -> str:
    """64 hexadecimal digits."""
    hashed = hashlib.sha256()
    for fact in _facts(program):
        hashed.update(fact.encode())
        hashed.update(b"\n")
    return hashed.hexdigest()


def _facts(program: Program) -> Iterator[str]:
    yield from (f"param {name} = {program.params[name].value!r}" for name in sorted(program.params))
    yield from (_stage(program.stages[name]) for name in sorted(program.stages))
    yield from (_LINE.sub("", to_text(program.pipelines[name])) for name in sorted(program.pipelines))


def _stage(stage: Stage) -> str:
    arguments = sorted(stage.arguments.items())
    return f"stage {stage.name}{signature_text(stage.signature)} {stage.backend}{arguments} {stage.contract}"
