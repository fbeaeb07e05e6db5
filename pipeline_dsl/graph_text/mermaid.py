"""A graph as a Mermaid flowchart, for README files and pull requests. Constructs and their panels are subgraphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline_dsl.ir import Graph

from .palette import colours
from .picture import Arrow, Box, Kind, Panel, picture
from .placed import Crossing, Edge

_BRACKETS: dict[Kind, tuple[str, str]] = {
    "input": ("([", "])"),
    "output": ("([", "])"),
    "call": ("[", "]"),
    "compute": ("{{", "}}"),
    "item": ("([", "])"),
    "outer": ("([", "])"),
    "yield": ("([", "])"),
}
_LINES: dict[Crossing, str] = {"": "-->", "event": "-.->", "copy": "==>"}


def mermaid(
    graph: Graph, devices: Mapping[str, str] | None = None, crossings: Mapping[Edge, Crossing] | None = None
) -> str:
    """Mermaid text without a code fence; ends with a newline."""
    drawn = picture(graph, devices, crossings)
    lines = ["flowchart TD", *_level("n", drawn.boxes, drawn.arrows, "  ")]
    members: dict[str, list[str]] = {}
    for name, box in _named("n", drawn.boxes):
        members.setdefault(box.device, []).append(name)
    for number, device in enumerate(drawn.devices):
        light = colours(device)[0]
        lines.append(f"  classDef d{number} fill:{light.fill},stroke:{light.line},color:{light.text}")
        lines.append(f"  class {','.join(members[device])} d{number}")
    return "\n".join(lines) + "\n"


def _named(prefix: str, boxes: Sequence[Box]) -> Iterator[tuple[str, Box]]:
    for i, box in enumerate(boxes):
        yield f"{prefix}{i}", box
        for number, panel in enumerate(box.panels):
            yield from _named(f"{prefix}{i}_{number}_", panel.boxes)


def _level(prefix: str, boxes: Sequence[Box], arrows: Sequence[Arrow], indent: str) -> Iterator[str]:
    for i, box in enumerate(boxes):
        yield from _box(f"{prefix}{i}", box, indent)
    for arrow in arrows:
        label = f"|{_quoted(*arrow.lines)}|" if arrow.lines else ""
        yield f"{indent}{prefix}{arrow.source} {_LINES[arrow.crossing]}{label} {prefix}{arrow.target}"


def _box(name: str, box: Box, indent: str) -> Iterator[str]:
    lines = [text for text in (box.title, box.detail, box.device) if text]
    if box.kind != "control":
        left, right = _BRACKETS[box.kind]
        yield f"{indent}{name}{left}{_quoted(*lines)}{right}"
        return
    yield f"{indent}subgraph {name}[{_quoted(' · '.join(lines))}]"  # Mermaid keeps room for one line
    for i, panel in enumerate(box.panels):
        yield from _panel(f"{name}_{i}", panel, indent + "  ")
    yield f"{indent}end"


def _panel(name: str, panel: Panel, indent: str) -> Iterator[str]:
    yield f"{indent}subgraph {name}[{_quoted(panel.title)}]"
    yield from _level(f"{name}_", panel.boxes, panel.arrows, indent + "  ")
    yield f"{indent}end"
    if panel.shadow:
        yield f"{indent}style {name} stroke-dasharray:6 4"


def _quoted(*lines: str) -> str:
    """A Mermaid string: characters with a meaning to it, or to HTML, as its numbered entities."""
    return '"' + "<br/>".join("".join(_escaped(c) for c in line) for line in lines) + '"'


def _escaped(c: str) -> str:
    return f"#{ord(c)};" if c in '"#&<>\\`|;\n\r' else c
