"""What is drawn, whatever the format: boxes in definition order and one arrow for each pair that is connected.

A construct is one box among those around it; what is in its regions are `inside`, pictures of their own whose arrows
stay within.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline_dsl.ir import (
    AnyNode,
    Apply,
    Branch,
    Call,
    Compute,
    Expression,
    Given,
    Graph,
    Input,
    Map,
    Output,
    Ref,
    Route,
    Try,
    references,
    regions,
    results,
)
from pipeline_dsl.plan import Plan

Kind = Literal["input", "call", "compute", "construct", "item", "output"]


@dataclass(frozen=True, slots=True)
class Box:
    """`title` is the node's name, `detail` its stage or operations; `device` "" for what has none."""

    title: str
    detail: str
    kind: Kind
    device: str
    inside: tuple[Picture, ...] = ()
    """Of a construct: its regions, named `then`, `else`, `body`, .."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """From box to box, by index; a label line for each value."""

    source: int
    target: int
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything there is to draw of one pipeline."""

    name: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    """Every arrow points to a later box."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices in order of first use."""
        return tuple(dict.fromkeys(box.device for box in self.boxes if box.device))


def picture(graph: Graph, devices: Mapping[str, str] | None = None) -> Picture:
    """The picture of a graph; `devices` by node id."""
    return _drawn(graph.name, graph.nodes, graph, devices or {})


def _drawn(name: str, nodes: Sequence[AnyNode], graph: Graph, devices: Mapping[str, str]) -> Picture:
    """The picture of a pipeline or of one region."""
    return Picture(name, tuple(_box(node, graph, devices) for node in nodes), tuple(_arrows(nodes)))


def devices_of(plan: Plan, pipeline: str) -> dict[str, str]:
    """The device of each call site of a planned pipeline."""
    steps = plan.pipelines[pipeline].every_step
    return {step.node: plan.stages[step.stage].device for step in steps if step.stage >= 0}


def _box(node: AnyNode, graph: Graph, devices: Mapping[str, str]) -> Box:
    name = node.id.removeprefix(f"{graph.name}.")
    if isinstance(node, Input | Output):
        return Box(node.port.name, str(node.port.type), "input" if isinstance(node, Input) else "output", "")
    if isinstance(node, Compute):
        return Box(name, " ".join(_operations(node.expression)), "compute", "")
    if isinstance(node, Given):
        return Box(name, str(node.type), "item", "")
    if isinstance(node, Branch | Route | Map | Try):
        inside = (_drawn(r.name, (*r.given, *r.nodes), graph, devices) for r in regions(node))
        return Box(name, _word(node), "construct", "", tuple(inside))
    if not isinstance(node, Call):
        return Box(name, type(node).__name__.lower(), "compute", "")
    version = "" if node.version is None else f"@{node.version}"
    return Box(name, f"{node.stage}{version}", "call", devices.get(node.id, ""))


def _word(node: Branch | Route | Map | Try) -> str:
    """What a construct is written with."""
    if isinstance(node, Branch):
        return "if" if node.arms[0].values == (True,) else "match"
    return type(node).__name__.lower()


def _arrows(nodes: Sequence[AnyNode]) -> Iterator[Arrow]:
    index = {node.id: i for i, node in enumerate(nodes)}
    types = {Ref(node.id, port): type_ for node in nodes for port, type_ in results(node)}
    outputs = {node.id: len(results(node)) for node in nodes}
    for target, node in enumerate(nodes):
        labels: dict[int, list[str]] = {}
        for ref in (ref for ref in dict.fromkeys(references(node)) if ref.node in index):
            text = str(types[ref])
            labels.setdefault(index[ref.node], []).append(f"{ref.port}: {text}" if outputs[ref.node] > 1 else text)
        for source, lines in labels.items():
            yield Arrow(source, target, tuple(lines))


def _operations(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Apply):
        yield expression.op
        for arg in expression.args:
            yield from _operations(arg)
