"""A graph in the DOT language of Graphviz. Constructs and their panels are clusters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline_dsl.ir import Graph

from .palette import colours
from .picture import Arrow, Box, Kind, Panel, picture
from .placed import Crossing, Edge

_SHAPES: dict[Kind, str] = {
    "input": "oval",
    "output": "oval",
    "call": "box",
    "compute": "hexagon",
    "item": "oval",
    "outer": "oval",
    "yield": "oval",
}
_STYLES: dict[Crossing, list[str]] = {"": [], "event": ["style=dashed"], "copy": ["style=bold"]}


def dot(
    graph: Graph, devices: Mapping[str, str] | None = None, crossings: Mapping[Edge, Crossing] | None = None
) -> str:
    """DOT text; ends with a newline."""
    drawn = picture(graph, devices, crossings)
    lines = [
        f"digraph {_quoted(drawn.name)} {{",
        '  compound=true; fontname="sans-serif"',
        '  node [style="filled,rounded", fontname="sans-serif"]',
        '  edge [fontname="sans-serif", fontsize=10]',
    ]
    lines += _level("n", drawn.boxes, drawn.arrows, "  ")
    return "\n".join([*lines, "}"]) + "\n"


def _level(prefix: str, boxes: Sequence[Box], arrows: Sequence[Arrow], indent: str) -> Iterator[str]:
    for i, box in enumerate(boxes):
        yield from _box(f"{prefix}{i}", box, indent)
    for arrow in arrows:
        yield indent + _edge(prefix, arrow, boxes)


def _box(name: str, box: Box, indent: str) -> Iterator[str]:
    light = colours(box.device)[0]
    lines = [text for text in (box.title, box.detail, box.device) if text]
    if box.kind != "control":
        style = f'fillcolor="{light.fill}", color="{light.line}", fontcolor="{light.text}"'
        yield f"{indent}{name} [label={_quoted(*lines)}, shape={_SHAPES[box.kind]}, {style}]"
        return
    yield f"{indent}subgraph cluster_{name} {{"
    yield f'{indent}  label={_quoted(*lines)}; style="filled,rounded"; fillcolor="{light.fill}"; color="{light.line}"'
    yield f"{indent}  {name} [shape=point, style=invis]"  # what arrows to and from the whole hold on to
    for i, panel in enumerate(box.panels):
        yield from _panel(f"{name}_{i}", panel, indent + "  ")
    yield f"{indent}}}"


def _panel(name: str, panel: Panel, indent: str) -> Iterator[str]:
    style = "dashed,rounded" if panel.shadow else "rounded"
    yield f"{indent}subgraph cluster_{name} {{"
    yield f'{indent}  label={_quoted(panel.title)}; style="{style}"'
    yield from _level(f"{name}_", panel.boxes, panel.arrows, indent + "  ")
    yield f"{indent}}}"


def _edge(prefix: str, arrow: Arrow, boxes: Sequence[Box]) -> str:
    source, target = (f"{prefix}{end}" for end in (arrow.source, arrow.target))
    options = [f"label={_quoted(*arrow.lines)}"] if arrow.lines else []
    options += _STYLES[arrow.crossing]
    options += [f"ltail=cluster_{source}"] if boxes[arrow.source].kind == "control" else []
    options += [f"lhead=cluster_{target}"] if boxes[arrow.target].kind == "control" else []
    return f"{_last(source, boxes[arrow.source])} -> {target}" + (f" [{', '.join(options)}]" if options else "")


def _last(name: str, box: Box) -> str:
    """The lowest node of a box: an arrow from a construct starts there, so that its target stands below all of it."""
    for number, panel in enumerate(box.panels):
        if panel.boxes:
            return _last(f"{name}_{number}_{len(panel.boxes) - 1}", panel.boxes[-1])
    return name


def _quoted(*lines: str) -> str:
    r"""One DOT string; lines are joined by its line break `\n`."""
    return '"' + "\\n".join(_escaped(lines)) + '"'


def _escaped(lines: tuple[str, ...]) -> Iterator[str]:
    for line in lines:
        yield line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
