"""A graph as one SVG file that needs nothing else: no script, no font, no reference outside.

Its colours follow the reader's light or dark mode. Boxes carry a `<title>`, so that browsers show the full text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from pipeline_dsl.ir import Graph

from .layout import Placed, Spacing, place
from .palette import Colours, colours
from .picture import Arrow, Box, Picture, picture

SPACING = Spacing()
_MARGIN = 16.0
_CHARACTER = 6.9
"""Average width of a character at 12px in the fonts named below."""
_LONGEST = 36
"""Characters a line may have before it is cut; the `<title>` keeps them all."""
_LINE = 14.0


def svg(graph: Graph, devices: Mapping[str, str] | None = None) -> str:
    """SVG text; ends with a newline."""
    drawn = picture(graph, devices)
    placed = _placed(drawn)
    legend = _legend(drawn, placed)
    lines = [_head(drawn, placed), _style(drawn), _MARKER, '<rect class="paper" width="100%" height="100%"/>']
    lines.append(f'<g transform="translate({_MARGIN:g} {_MARGIN:g})">')
    lines += (_line(points) for points in placed.paths)
    lines += (_box(box, *centre, drawn) for box, centre in zip(drawn.boxes, placed.centres, strict=True))
    # Labels come last, so that no arrow is drawn over one.
    lines += (_label(a, points) for a, points in zip(drawn.arrows, placed.paths, strict=True))
    return "\n".join([*lines, *legend, "</g>", "</svg>"]) + "\n"


def _placed(drawn: Picture) -> Placed:
    edges = [(arrow.source, arrow.target) for arrow in drawn.arrows]
    bends = [max(len(_cut(line)) for line in arrow.labels) * _CHARACTER for arrow in drawn.arrows]
    return place([_width(box) for box in drawn.boxes], edges, bends, SPACING)


def _width(box: Box) -> float:
    longest = max(len(_cut(line)) for line in (box.title, _detail(box)))
    return round(longest * _CHARACTER + 24, 1)


def _detail(box: Box) -> str:
    return " · ".join(text for text in (box.detail, box.device) if text)


def _cut(text: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _head(drawn: Picture, placed: Placed) -> str:
    width = placed.width + 2 * _MARGIN
    height = placed.height + 2 * _MARGIN + (_LINE + 12 if drawn.devices else 0)
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    title = f"<title>pipeline {_text(drawn.name)}</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>\n{title}'


def _style(drawn: Picture) -> str:
    classes = [("n", ""), *((f"d{i}", device) for i, device in enumerate(drawn.devices))]
    light = "".join(_rules(name, colours(device)[0]) for name, device in classes)
    dark = "".join(_rules(name, colours(device)[1]) for name, device in classes)
    return "\n".join(
        [
            "<style>",
            "text{font-family:ui-sans-serif,system-ui,sans-serif;font-size:12px;text-anchor:middle}",
            ".title{font-weight:600}.compute rect{stroke-dasharray:4 3}",
            ".edge{fill:none;stroke:#8c959f;stroke-width:1.2}.head{fill:#8c959f}",
            ".label{font-size:10.5px;fill:#424a53;stroke:#ffffff;stroke-width:3px;paint-order:stroke}",
            f".paper{{fill:#ffffff}}{light}",
            "@media (prefers-color-scheme:dark){",
            f".label{{fill:#b7bdc8;stroke:#0d1117}}.paper{{fill:#0d1117}}{dark}",
            "}",
            "</style>",
        ]
    )


def _rules(name: str, look: Colours) -> str:
    return f".{name} rect{{fill:{look.fill};stroke:{look.line}}}.{name} text{{fill:{look.text}}}"


_MARKER = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'
)


def _box(box: Box, x: float, y: float, drawn: Picture) -> str:
    width, height = _width(box), SPACING.box_height
    radius = height / 2 if box.kind in ("input", "output") else 6
    look = f"d{drawn.devices.index(box.device)}" if box.device else "n"
    return (
        f'<g class="{box.kind} {look}"><title>{_text(box.title)}: {_text(_detail(box))}</title>'
        f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"/>'
        f'<text class="title" x="{x:g}" y="{y - 4:g}">{_text(_cut(box.title))}</text>'
        f'<text x="{x:g}" y="{y + 12:g}">{_text(_cut(_detail(box)))}</text></g>'
    )


def _line(points: tuple[tuple[float, float], ...]) -> str:
    """Vertical where it leaves, passes and arrives, curved between."""
    (x, y), *rest = points
    path = f"M{x:g} {y:g}"
    for to_x, to_y in rest:
        middle = (y + to_y) / 2
        path += f"C{x:g} {middle:g} {to_x:g} {middle:g} {to_x:g} {to_y:g}"
        x, y = to_x, to_y
    return f'<path class="edge" marker-end="url(#head)" d="{path}"/>'


def _label(arrow: Arrow, points: tuple[tuple[float, float], ...]) -> str:
    """The types, one below the other: where the arrow passes a layer, which keeps room for them, else halfway."""
    if len(points) > 2:
        x, y = points[len(points) // 2]
    else:
        (x0, y0), (x1, y1) = points
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
    y += 4 - _LINE * (len(arrow.labels) - 1) / 2
    spans = "".join(
        f'<tspan x="{x:g}" y="{y + i * _LINE:g}">{_text(_cut(line))}</tspan>' for i, line in enumerate(arrow.labels)
    )
    return f'<text class="label">{spans}</text>'


def _legend(drawn: Picture, placed: Placed) -> Iterator[str]:
    x, y = 0.0, placed.height + 20
    for i, device in enumerate(drawn.devices):
        width = len(device) * _CHARACTER + 16
        yield (
            f'<g class="d{i}"><rect x="{x:g}" y="{y - 13:g}" width="{width:g}" height="18" rx="4"/>'
            f'<text x="{x + width / 2:g}" y="{y:g}">{_text(device)}</text></g>'
        )
        x += width + 8


def _text(text: str) -> str:
    """Safe between tags and in attributes; characters XML does not know become spaces."""
    return escape("".join(c if c.isprintable() else " " for c in text))
