"""The worked examples that have constructs, from text to plan: `tests/golden/control/<name>.graph` and `.plan`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline_dsl import ir, planning
from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_path, optimized
from pipeline_dsl.graph_text import dot, mermaid, svg
from pipeline_dsl.ir_text import to_text
from pipeline_dsl.plan import Plan
from pipeline_dsl.plan_text import plan_text
from pipeline_dsl.verify import problems
from tests.goldens import GOLDEN, MACHINE, compare

CORPUS = Path(__file__).parents[1] / "corpus"
NAMES = ["cascade", "canary", "detect", "embed"]
PROFILES = {"cascade": None, "canary": "prod", "detect": "gpu", "embed": "gpu"}


def program(name: str) -> ir.Program:
    found, sink = check_path(CORPUS / f"{name}.pipe", Options(profile=PROFILES[name], environ={}, hardware=MACHINE))
    assert found is not None, sink.sorted()
    return found


def plan(name: str) -> Plan:
    return replace(planning.build(optimized(program(name), verify=True), MACHINE), path=f"{name}.pipe")


@pytest.mark.parametrize("name", NAMES)
def test_its_graph(name: str) -> None:
    graphs = program(name).pipelines.values()
    compare(GOLDEN / "control" / f"{name}.graph", "\n".join(map(to_text, graphs)))


@pytest.mark.parametrize("name", NAMES)
def test_its_plan(name: str) -> None:
    compare(GOLDEN / "control" / f"{name}.plan", plan_text(plan(name)).replace(f"{CORPUS}/", ""))


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_together(name: str) -> None:
    found = program(name)
    for graph in found.pipelines.values():
        assert problems(graph, found.stages) == []


@pytest.mark.parametrize("draw", [dot, mermaid, svg], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_drawn(name: str, draw: object) -> None:
    for graph in program(name).pipelines.values():
        assert all(node.id.rpartition(".")[2] in draw(graph) for node in graph.nodes)  # type: ignore[operator]  # one of three
