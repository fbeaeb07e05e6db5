"""What is drawn, whatever the format: boxes in definition order and one arrow for each pair that is connected.

A construct is one box with a panel for each arm or body. A panel is a small picture: what the region is entered with
stands at its top, what it reads of the outside beside that, and what it yields at its bottom. No arrow crosses the
border of a panel, so each format can draw it as a picture of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline_dsl.ir import (
    AnyNode,
    Apply,
    Call,
    Collect,
    Compute,
    Constant,
    Context,
    Control,
    Expression,
    Graph,
    Input,
    Output,
    Ref,
    Region,
    StreamOf,
    captures,
    references,
    results,
    walk,
)
from pipeline_dsl.types import TensorType

from .constructs import entry, headline, panels, yielded
from .placed import Crossing, Edge

_ORIGIN = re.compile(r" of [\w.@]+(, line \d+)?")
"""`N of detect, line 19`"""

Kind = Literal["input", "call", "compute", "control", "item", "outer", "yield", "output"]


@dataclass(frozen=True, slots=True)
class Box:
    """`title` is the node's name, `detail` its stage or operations; `device` "" for what has none."""

    title: str
    detail: str
    kind: Kind
    device: str = ""
    panels: tuple[Panel, ...] = ()
    """Of a construct."""

    @property
    def small(self) -> bool:
        """Drawn as one line: what enters and leaves a panel. Its type is part of the line."""
        return self.kind in ("item", "outer", "yield")


@dataclass(frozen=True, slots=True)
class Arrow:
    """From box to box, by index; a label line for each value, none if the source says it itself."""

    source: int
    target: int
    labels: tuple[str, ...]
    crossing: Crossing = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What stands beside it."""
        return (*self.labels, self.crossing) if self.crossing else self.labels


@dataclass(frozen=True, slots=True)
class Panel:
    """An arm or body."""

    title: str
    shadow: bool
    """Nobody sees its results."""
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    """Every arrow points to a later box."""


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
        return tuple(dict.fromkeys(box.device for box in every_box(self.boxes) if box.device))


def every_box(boxes: Sequence[Box]) -> Iterator[Box]:
    """The boxes and all those in their panels."""
    for box in boxes:
        yield box
        for panel in box.panels:
            yield from every_box(panel.boxes)


def every_arrow(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Iterator[Arrow]:
    """The arrows and all those in panels."""
    yield from arrows
    for box in boxes:
        for panel in box.panels:
            yield from every_arrow(panel.boxes, panel.arrows)


def picture(
    graph: Graph, devices: Mapping[str, str] | None = None, crossings: Mapping[Edge, Crossing] | None = None
) -> Picture:
    """The picture of a graph; `devices` by node id, `crossings` by the ids at both ends."""
    drawn = _Drawing(graph, devices or {}, crossings or {})
    boxes, arrows = drawn.level(graph.nodes, {})
    return Picture(graph.name, boxes, arrows)


class _Drawing:
    """One graph while it is turned into boxes: names, types and devices of its nodes."""

    def __init__(self, graph: Graph, devices: Mapping[str, str], crossings: Mapping[Edge, Crossing]) -> None:
        self._prefix = f"{graph.name}."
        self._devices = devices
        self._crossings = crossings
        self._types: dict[Ref, TensorType] = {}
        self._single: set[str] = set()
        """Nodes that make one value, which needs no name beside the node's."""
        for node in walk(graph.nodes):
            made = results(node)
            self._types |= {Ref(node.id, port): kind for port, kind in made}
            if len(made) == 1:
                self._single.add(node.id)

    def level(
        self, nodes: Sequence[AnyNode], before: Mapping[Ref, Box], after: Region | None = None
    ) -> tuple[tuple[Box, ...], tuple[Arrow, ...]]:
        """Boxes and arrows of the nodes of a region, behind those of the values it is entered with."""
        boxes = [*before.values(), *map(self._box, nodes)]
        index = {ref: i for i, ref in enumerate(before)}
        arrows: list[Arrow] = []
        where = {node.id: len(before) + i for i, node in enumerate(nodes)}
        for target, node in enumerate(nodes, len(before)):
            arrows += self._arrows(references(node), target, index, where, node.id)
        if after is not None and after.yields:
            read = (operand for operand in after.yields if isinstance(operand, Ref))
            arrows += self._arrows(read, len(boxes), index, where)
            boxes.append(Box(yielded(after, self._called), "", "yield"))
        return tuple(boxes), tuple(arrows)

    def _arrows(
        self, refs: Iterator[Ref], target: int, entered: Mapping[Ref, int], inside: Mapping[str, int], reader: str = ""
    ) -> Iterator[Arrow]:
        labels: dict[int, list[str]] = {}
        crossings: dict[int, Crossing] = {}
        for ref in dict.fromkeys(refs):
            source = entered[ref] if ref in entered else inside[ref.node]
            crossings[source] = self._crossings.get((ref.node, reader)) or crossings.get(source, "")
            if ref in entered:
                labels.setdefault(source, [])
            else:
                kind = _short(self._types[ref])
                text = kind if ref.node in self._single else f"{ref.port}: {kind}"
                labels.setdefault(source, []).append(text)
        for source, lines in labels.items():
            yield Arrow(source, target, tuple(lines), crossings[source])

    def _box(self, node: AnyNode) -> Box:
        name = node.id.removeprefix(self._prefix)
        match node:
            case Input(port=port) | Output(port=port):
                return Box(port.name, str(port.type), "input" if isinstance(node, Input) else "output")
            case Call(stage=stage, version=version):
                detail = stage if version is None else f"{stage}@{version}"
                return Box(name, detail, "call", self._devices.get(node.id, ""))
            case Compute(expression=expression):
                return Box(name, " ".join(_operations(expression)) or _constant(expression), "compute")
            case Collect() | StreamOf():
                return Box(name, "collect" if isinstance(node, Collect) else "stream_of", "compute")
            case Context(what=what, argument=argument):
                return Box(name, f"{what}({argument})", "compute")
            case Control():
                return self._construct(node, name)
        raise AssertionError(f"{type(node).__name__} stands in no level")  # given values come with their panel

    def _construct(self, node: Control, name: str) -> Box:
        title = name if len(node.results) < 2 else ", ".join(port for port, _ in node.results)
        made = (self._panel(label, shadow, region) for label, shadow, region in panels(node))
        return Box(title, headline(node), "control", "", tuple(made))

    def _panel(self, title: str, shadow: bool, region: Region) -> Panel:
        entered = {Ref(g.id, "value"): Box(f"{entry(g)}: {_short(g.type)}", "", "item") for g in region.given}
        entered |= {
            ref: Box(f"{self._called(ref)}: {_short(self._types[ref])}", "", "outer") for ref in captures(region)
        }
        boxes, arrows = self.level(region.nodes, entered, region)
        return Panel(title, shadow, boxes, arrows)

    def _called(self, ref: Ref) -> str:
        name = ref.node.removeprefix(self._prefix).rpartition(".")[2]
        return name if ref.node in self._single else f"{name}.{ref.port}"


def _short(kind: TensorType) -> str:
    """A type without the places its sizes come from: arrows show those."""
    return _ORIGIN.sub("", str(kind))


def _operations(expression: Expression) -> Iterator[str]:
    if isinstance(expression, Apply):
        yield expression.op
        for arg in expression.args:
            yield from _operations(arg)


def _constant(expression: Expression) -> str:
    return str(expression.value) if isinstance(expression, Constant) else ""
