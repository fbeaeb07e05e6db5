"""A graph as one SVG file that needs nothing else: no script, no font, no reference outside.

Its colours follow the reader's light or dark mode. Boxes carry a `<title>`, so that browsers show the full text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from zlib import crc32

from pipeline_dsl.ir import Graph

from .frames import CHARACTER, LINE, TITLE, Frame, Level, cut, detail, level
from .layout import Point
from .palette import Colours, colours
from .picture import Arrow, Box, Panel, Picture, every_arrow, picture
from .placed import Crossing, Edge

_MARGIN = 16.0


def svg(
    graph: Graph, devices: Mapping[str, str] | None = None, crossings: Mapping[Edge, Crossing] | None = None
) -> str:
    """SVG text; ends with a newline."""
    drawn = picture(graph, devices, crossings)
    whole = level(drawn.boxes, drawn.arrows)
    scope = _scope(drawn)
    lines = [_head(drawn, whole, scope), _style(drawn, scope), _marker(scope)]
    lines += ['<rect class="paper" width="100%" height="100%"/>', f'<g marker-end="url(#{scope}-head)">']
    lines += _level(whole, _MARGIN, _MARGIN, drawn.devices)
    lines.append("</g>")
    lines += _legend(drawn, whole)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _head(drawn: Picture, whole: Level, scope: str) -> str:
    width = max(whole.placed.width, _legend_width(drawn)) + 2 * _MARGIN
    height = whole.placed.height + 2 * _MARGIN + (LINE + 12 if drawn.devices else 0)
    size = f'width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}"'
    title = f"<title>pipeline {_text(drawn.name)}</title>"
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="{scope}" role="img" {size}>\n{title}'


def _style(drawn: Picture, scope: str) -> str:
    """Rules for this picture alone: a page may hold several, whose devices differ."""
    classes = [("n", ""), *((f"d{i}", device) for i, device in enumerate(drawn.devices))]
    looks = [(name, *colours(device)) for name, device in classes]
    lines = _CROSSINGS if any(arrow.crossing for arrow in every_arrow(drawn.boxes, drawn.arrows)) else ()
    light = [*_SHAPES, *lines, *_PAPER, *(rule for name, look, _ in looks for rule in _rules(name, look))]
    dark = [*_DARK_PAPER, *(rule for name, _, look in looks for rule in _rules(name, look))]
    return "\n".join(
        [
            "<style>",
            *(f".{scope} {rule}" for rule in light),
            "@media (prefers-color-scheme:dark){",
            *(f".{scope} {rule}" for rule in dark),
            "}",
            "</style>",
        ]
    )


_SHAPES = (
    "text{font-family:ui-sans-serif,system-ui,sans-serif;font-size:12px;text-anchor:middle}",
    ".title{font-weight:600}",
    ":is(.compute,.outer)>rect{stroke-dasharray:4 3}",
    ".edge{fill:none;stroke:#8c959f;stroke-width:1.2}",
    ".head{fill:#8c959f}",
    ".shadow{stroke-dasharray:6 4}",
    ".label{font-size:10.5px;stroke-width:3px;paint-order:stroke}",
    ".caption{text-anchor:start;font-size:11px;font-style:italic}",
)
_CROSSINGS = (".event{stroke-dasharray:5 3}", ".copy{stroke-width:2.6}")
_PAPER = (
    ".paper{fill:#ffffff}",
    ".label{fill:#424a53;stroke:#ffffff}",
    ".panel{fill:#ffffff;stroke:#afb8c1}",
    ".caption{fill:#424a53}",
)
_DARK_PAPER = (
    ".paper{fill:#0d1117}",
    ".label{fill:#b7bdc8;stroke:#0d1117}",
    ".panel{fill:#0d1117;stroke:#484f58}",
    ".caption{fill:#b7bdc8}",
)


def _rules(name: str, look: Colours) -> tuple[str, str]:
    return f".{name}>rect{{fill:{look.fill};stroke:{look.line}}}", f".{name}>text{{fill:{look.text}}}"


def _scope(drawn: Picture) -> str:
    """A class for the rules of all pictures with these devices."""
    return f"pipe-{crc32(' '.join(drawn.devices).encode()):08x}"


def _marker(scope: str) -> str:
    shape = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"'
    return f'<defs><marker id="{scope}-head" {shape}><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>'


def _level(made: Level, x: float, y: float, devices: tuple[str, ...]) -> Iterator[str]:
    """A level with its corner at a point. Labels come last, so that no arrow is drawn over one."""
    for arrow, points in zip(made.arrows, made.placed.paths, strict=True):
        yield _line([(x + px, y + py) for px, py in points], arrow.crossing)
    for frame, (cx, cy) in zip(made.boxes, made.placed.centres, strict=True):
        width, height = frame.size
        yield from _frame(frame, x + cx - width / 2, y + cy - height / 2, devices)
    for arrow, (lx, ly) in zip(made.arrows, made.placed.labels, strict=True):
        if arrow.lines:
            yield _label(arrow, x + lx, y + ly)


def _frame(frame: Frame, x: float, y: float, devices: tuple[str, ...]) -> Iterator[str]:
    """A box with its corner at a point, then what is inside of it."""
    box, (width, height) = frame.box, frame.size
    look = f"d{devices.index(box.device)}" if box.device else "n"
    radius = height / 2 if box.kind in ("input", "output") or box.small else 6
    middle = x + width / 2
    told = ": ".join(text for text in (box.title, detail(box)) if text)
    yield (
        f'<g class="{box.kind} {look}"><title>{_text(told)}</title>'
        f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"/>'
        f"{_lines(box, middle, y)}</g>"
    )
    for panel, made, left, top, size in frame.panels:
        yield from _panel(panel, made, x + left, y + top, size, devices)


def _lines(box: Box, x: float, y: float) -> str:
    if box.small:
        return f'<text x="{_n(x)}" y="{_n(y + 17)}">{_text(cut(box.title))}</text>'
    title = f'<text class="title" x="{_n(x)}" y="{_n(y + 18)}">{_text(cut(box.title))}</text>'
    return f'{title}<text x="{_n(x)}" y="{_n(y + 34)}">{_text(cut(detail(box)))}</text>'


def _panel(
    panel: Panel, made: Level, x: float, y: float, size: tuple[float, float], devices: tuple[str, ...]
) -> Iterator[str]:
    width, height = size
    shadow = " shadow" if panel.shadow else ""
    yield (
        f'<rect class="panel{shadow}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="4"/>'
        f'<text class="caption" x="{_n(x + 8)}" y="{_n(y + 16)}">{_text(cut(panel.title))}</text>'
    )
    yield from _level(made, x + (width - made.placed.width) / 2, y + TITLE, devices)


def _line(points: list[Point], crossing: Crossing) -> str:
    """Vertical where it leaves, passes and arrives, curved between."""
    (x, y), *rest = points
    path = f"M{_n(x)} {_n(y)}"
    for to_x, to_y in rest:
        if abs(to_x - x) < 0.05:
            path += f"V{_n(to_y)}" if abs(to_y - y) >= 0.05 else ""
        else:
            middle = (y + to_y) / 2
            path += f"C{_n(x)} {_n(middle)} {_n(to_x)} {_n(middle)} {_n(to_x)} {_n(to_y)}"
        x, y = to_x, to_y
    return f'<path class="{f"edge {crossing}".rstrip()}" d="{path}"/>'


def _label(arrow: Arrow, x: float, y: float) -> str:
    """The types, one below the other, around a point."""
    y += 4 - LINE * (len(arrow.lines) - 1) / 2
    spans = "".join(
        f'<tspan x="{_n(x)}" y="{_n(y + i * LINE)}">{_text(cut(line))}</tspan>' for i, line in enumerate(arrow.lines)
    )
    return f'<text class="label">{spans}</text>'


def _legend(drawn: Picture, whole: Level) -> Iterator[str]:
    x, y = _MARGIN, _MARGIN + whole.placed.height + 20
    for i, device in enumerate(drawn.devices):
        width = _entry(device)
        yield (
            f'<g class="d{i}"><rect x="{_n(x)}" y="{_n(y - 13)}" width="{_n(width)}" height="18" rx="4"/>'
            f'<text x="{_n(x + width / 2)}" y="{_n(y)}">{_text(device)}</text></g>'
        )
        x += width + 8


def _entry(device: str) -> float:
    return len(device) * CHARACTER + 16


def _legend_width(drawn: Picture) -> float:
    return sum(_entry(device) + 8 for device in drawn.devices) - 8


def _n(number: float) -> str:
    """A coordinate, to a tenth."""
    return f"{round(number, 1):g}"


def _text(text: str) -> str:
    """Safe between tags and in attributes; characters XML does not know become spaces."""
    return escape("".join(c if c.isprintable() else " " for c in text))
