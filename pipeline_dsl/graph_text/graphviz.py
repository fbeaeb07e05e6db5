"""A graph in the DOT language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline_dsl.ir import Graph

from .palette import colours
from .picture import Arrow, Box, picture

_SHAPES = {
    "input": "oval",
    "output": "oval",
    "item": "oval",
    "call": "box",
    "compute": "hexagon",
    "construct": "box3d",
}


def dot(graph: Graph, devices: Mapping[str, str] | None = None) -> str:
    """DOT text; ends with a newline."""
    drawn = picture(graph, devices)
    lines = [f"digraph {_quoted(drawn.name)} {{", '  node [style="filled,rounded", fontname="sans-serif"]']
    lines += (_node(i, box) for i, box in enumerate(drawn.boxes))
    lines += (_edge(arrow) for arrow in drawn.arrows)
    return "\n".join([*lines, "}"]) + "\n"


def _node(index: int, box: Box) -> str:
    light = colours(box.device)[0]
    lines = [text for text in (box.title, box.detail, box.device) if text]
    style = f'fillcolor="{light.fill}", color="{light.line}", fontcolor="{light.text}"'
    return f"  n{index} [label={_quoted(*lines)}, shape={_SHAPES[box.kind]}, {style}]"


def _edge(arrow: Arrow) -> str:
    return f"  n{arrow.source} -> n{arrow.target} [label={_quoted(*arrow.labels)}]"


def _quoted(*lines: str) -> str:
    r"""One DOT string; lines are joined by its line break `\n`."""
    return '"' + "\\n".join(_escaped(lines)) + '"'


def _escaped(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        yield line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
