"""Sizes and places of everything in a picture: panels are laid out first, their construct's box around them after.

Places of a level are relative to its own corner; the drawing moves each level to where it belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layout import Placed, Size, Spacing, place
from .picture import Arrow, Box, Panel

SPACING = Spacing()
CHARACTER = 6.9
"""Average width of a character at 12px in the fonts that `svg` names."""
LABEL_CHARACTER = 6.1
"""The same at the size of labels."""
LONGEST = 36
"""Characters a line may have before it is cut; the `<title>` keeps them all."""
LINE = 14.0
HEAD = 40.0
"""Above the panels of a construct."""
TITLE = 24.0
"""Above what is in a panel."""
PADDING = 12.0
_BOX = 44.0
_SMALL = 26.0


@dataclass(frozen=True, slots=True)
class Level:
    """Boxes and arrows that stand beside one another, with their places."""

    boxes: tuple[Frame, ...]
    arrows: tuple[Arrow, ...]
    placed: Placed


@dataclass(frozen=True, slots=True)
class Frame:
    """A box with its size; `panels` with the corner and size of each, relative to its own corner."""

    box: Box
    size: Size
    panels: tuple[tuple[Panel, Level, float, float, Size], ...] = ()


def level(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> Level:
    """Boxes and arrows of a picture or panel, laid out."""
    frames = tuple(map(_frame, boxes))
    edges = [(arrow.source, arrow.target) for arrow in arrows]
    placed = place([frame.size for frame in frames], edges, [_label(arrow) for arrow in arrows], SPACING)
    return Level(frames, tuple(arrows), placed)


def detail(box: Box) -> str:
    """The second line of a box."""
    return " · ".join(text for text in (box.detail, box.device) if text)


def cut(text: str) -> str:
    """A line as it is drawn."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def text_width(text: str, character: float = CHARACTER) -> float:
    """Room for a line."""
    return round(len(cut(text)) * character, 1)


def _frame(box: Box) -> Frame:
    if box.kind == "control":
        return _construct(box)
    width = max(text_width(line) for line in (box.title, detail(box))) + 24
    return Frame(box, (width, _SMALL if box.small else _BOX))


def _construct(box: Box) -> Frame:
    inner = [(panel, level(panel.boxes, panel.arrows)) for panel in box.panels]
    height = max((made.placed.height for _, made in inner), default=0.0) + TITLE + PADDING
    x, held = PADDING, []
    for panel, made in inner:
        width = max(made.placed.width, text_width(panel.title)) + 2 * PADDING
        held.append((panel, made, x, HEAD, (width, height)))
        x += width + PADDING
    width = max(x, text_width(box.title) + 24, text_width(box.detail) + 24)
    spare = (width - x) / 2
    moved = tuple((panel, made, left + spare, top, size) for panel, made, left, top, size in held)
    return Frame(box, (width, HEAD + height + PADDING), moved)


def _label(arrow: Arrow) -> Size:
    if not arrow.lines:
        return 0.0, 0.0
    return max(text_width(line, LABEL_CHARACTER) for line in arrow.lines), LINE * len(arrow.lines)
