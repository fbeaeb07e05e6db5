"""Programs as users write them: what is said about each, its plan, and that it runs.

`programs/<name>.pipe` and the `.plan` it gives: diagnostics, then the plan if there is one. A line `# profile = gpu`
selects a profile.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from executor.engine import Engine
from executor.streaming.answer import StreamResponse
from pipeline_dsl import render
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_path, compile_path
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.plan import InputPlan, Plan, StagePlan
from pipeline_dsl.plan_text import plan_text
from pipeline_dsl.types import Ragged, Rows, Sized
from tests.goldens import MACHINE, FolderLoader, compare

FOLDER = Path(__file__).parent / "programs"
FILES = sorted(FOLDER.glob("*.pipe"))
GOOD = [path for path in FILES if not path.stem.startswith("wrong_")]
CORPUS = sorted((Path(__file__).parents[1] / "corpus").glob("*.pipe"))
SIZE, ROWS = 4, 2
"""What a size with a name is in requests, and the rows of `*`."""


def options(path: Path) -> Options:
    profile = re.search(r"^# profile = (\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return Options(profile=profile[1] if profile else None, environ={}, loader=FolderLoader(FOLDER))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_what_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    text = render.text(check_path(path.name, replace(options(path), hardware=MACHINE))[1].sorted())
    if path in GOOD:
        text = "\n".join(filter(None, (text, plan_text(compile_path(path.name, options(path), MACHINE)))))
    compare(path.with_suffix(".plan"), text)


@pytest.mark.parametrize("path", [p for p in FILES if p not in GOOD], ids=lambda p: p.stem)
def test_mistakes_stop_it(path: Path) -> None:
    with pytest.raises(CompileError):
        compile_path(path, options(path))


@pytest.mark.parametrize("path", CORPUS, ids=lambda p: p.stem)
def test_of_the_worked_examples_nothing_is_missing(path: Path) -> None:
    found = check_path(path, Options(environ={}))[1].sorted()
    assert {d.code for d in found} <= {"W0201", "W0501", "W0599", "W0603"}


@pytest.mark.parametrize("path", GOOD, ids=lambda p: p.stem)
def test_it_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With stages that do no work, every pipeline gives every output."""
    monkeypatch.chdir(FOLDER)
    engine = Engine(_idle(compile_path(path.name, options(path), MACHINE)))
    engine.start()
    try:
        for name, pipeline in engine.plan.pipelines.items():
            inputs = {port.name: _value(port) for port in pipeline.inputs if not port.type.optional}
            response = engine.submit(name, inputs).result(30)
            if isinstance(response, StreamResponse):
                response.wait()
            assert set(response) == {port.name for port in pipeline.outputs}
    finally:
        engine.stop(5)


def _idle(plan: Plan) -> Plan:
    return replace(plan, stages=tuple(map(_null, plan.stages)))


def _null(stage: StagePlan) -> StagePlan:
    return replace(stage, backend="null", arguments={"value": "zeros"}, device="cpu", isolate=False)


def _value(port: InputPlan) -> Any:
    dims = port.type.dims
    if any(isinstance(d, Ragged) for d in dims):
        return [[0] * SIZE] * ROWS
    shape = [_size(d) for d in dims]
    empty = {"string": "a", "bytes": b"a", "json": {"user": "a"}}.get(port.type.dtype.name, 0)
    if port.type.dtype.numeric:
        return np.zeros(shape, port.type.dtype.numpy) if dims else port.type.dtype.numpy.type(0).item()
    return [empty] * shape[0] if dims else empty


def _size(dim: object) -> int:
    if isinstance(dim, Rows):
        return ROWS
    assert isinstance(dim, Sized)
    return dim.size.evaluate({symbol.name: SIZE for symbol in dim.size.symbols})
