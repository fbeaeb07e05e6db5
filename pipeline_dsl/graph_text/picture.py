"""What is drawn, whatever the format: boxes in definition order and one arrow for each pair that is connected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline_dsl.ir import AnyNode, Apply, Call, Compute, Expression, Graph, Input, Output, Ref, references, results
from pipeline_dsl.plan import Plan

Kind = Literal["input", "call", "compute", "output"]


@dataclass(frozen=True, slots=True)
class Box:
    """`title` is the node's name, `detail` its stage or operations; `device` "" for what has none."""

    title: str
    detail: str
    kind: Kind
    device: str


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
    nodes = graph.nodes
    boxes = tuple(_box(node, graph, devices or {}) for node in nodes)
    return Picture(graph.name, boxes, tuple(_arrows(nodes)))


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
    if not isinstance(node, Call):
        return Box(name, type(node).__name__.lower(), "compute", "")
    version = "" if node.version is None else f"@{node.version}"
    return Box(name, f"{node.stage}{version}", "call", devices.get(node.id, ""))


def _arrows(nodes: Sequence[AnyNode]) -> Iterator[Arrow]:
    index = {node.id: i for i, node in enumerate(nodes)}
    types = {Ref(node.id, port): type_ for node in nodes for port, type_ in results(node)}
    outputs = {node.id: len(results(node)) for node in nodes}
    for target, node in enumerate(nodes):
        labels: dict[int, list[str]] = {}
        for ref in dict.fromkeys(references(node)):
            text = str(types[ref])
            labels.setdefault(index[ref.node], []).append(f"{ref.port}: {text}" if outputs[ref.node] > 1 else text)
        for source, lines in labels.items():
            yield Arrow(source, target, tuple(lines))


def _operations(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Apply):
        yield expression.op
        for arg in expression.args:
            yield from _operations(arg)
