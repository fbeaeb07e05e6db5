"""A graph as a Mermaid flowchart, for README files and pull requests."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline_dsl.ir import Graph

from .palette import colours
from .picture import Arrow, Box, Kind, picture

_BRACKETS: dict[Kind, tuple[str, str]] = {
    "input": ("([", "])"),
    "output": ("([", "])"),
    "item": ("([", "])"),
    "call": ("[", "]"),
    "construct": ("[[", "]]"),
    "compute": ("{{", "}}"),
}


def mermaid(graph: Graph, devices: Mapping[str, str] | None = None) -> str:
    """Mermaid text without a code fence; ends with a newline."""
    drawn = picture(graph, devices)
    lines = ["flowchart TD"]
    lines += (_node(i, box) for i, box in enumerate(drawn.boxes))
    lines += (_edge(arrow) for arrow in drawn.arrows)
    for number, device in enumerate(drawn.devices):
        light = colours(device)[0]
        lines.append(f"  classDef d{number} fill:{light.fill},stroke:{light.line},color:{light.text}")
        members = ",".join(f"n{i}" for i, box in enumerate(drawn.boxes) if box.device == device)
        lines.append(f"  class {members} d{number}")
    return "\n".join(lines) + "\n"


def _node(index: int, box: Box) -> str:
    left, right = _BRACKETS[box.kind]
    lines = [text for text in (box.title, box.detail, box.device) if text]
    return f"  n{index}{left}{_quoted(*lines)}{right}"


def _edge(arrow: Arrow) -> str:
    return f"  n{arrow.source} -->|{_quoted(*arrow.labels)}| n{arrow.target}"


def _quoted(*lines: str) -> str:
    """A Mermaid string: characters with a meaning to it, or to HTML, as its numbered entities."""
    return '"' + "<br/>".join("".join(_escaped(c) for c in line) for line in lines) + '"'


def _escaped(c: str) -> str:
    return f"#{ord(c)};" if c in '"#&<>\\`|;\n\r' else c
