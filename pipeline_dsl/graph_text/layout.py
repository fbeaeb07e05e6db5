"""Where boxes stand: layers from top to bottom, ordered so that few arrows cross.

An arrow over several layers passes through a point in each, which takes part in the ordering like a box. Layers are
longest paths, orders come from a few barycentre sweeps (Sugiyama's method), positions from packing each layer around
a common middle. Units are those of the sizes given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Placed:
    """Centres of the boxes, the points each edge passes (ends included), and the size of the whole."""

    centres: tuple[tuple[float, float], ...]
    paths: tuple[tuple[tuple[float, float], ...], ...]
    width: float
    height: float


@dataclass(slots=True)
class _Items:
    """Boxes and way points alike. `above` and `below` are neighbours one layer away."""

    layer: list[int]
    width: list[float]
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)

    def add(self, layer: int, width: float) -> int:
        self.layer.append(layer)
        self.width.append(width)
        self.above.append([])
        self.below.append([])
        return len(self.layer) - 1

    def join(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)


@dataclass(frozen=True, slots=True)
class Spacing:
    """Room between things."""

    box_height: float = 44
    between_boxes: float = 28
    between_layers: float = 64


def place(
    widths: Sequence[float], edges: Sequence[tuple[int, int]], bends: Sequence[float], spacing: Spacing
) -> Placed:
    """Places boxes of given widths. `edges` point from lower to higher indices; where one passes a layer it gets
    the room `bends` gives for it."""
    items = _Items([], [])
    for layer, width in zip(_layers(len(widths), edges), widths, strict=True):
        items.add(layer, width)
    routes = [_route(items, *edge, bend) for edge, bend in zip(edges, bends, strict=True)]
    centres, width = _columns(_ordered(items), items, spacing.between_boxes)
    step = spacing.box_height + spacing.between_layers
    points = [(x, spacing.box_height / 2 + step * layer) for x, layer in zip(centres, items.layer, strict=True)]
    paths = tuple(_path([points[item] for item in route], spacing.box_height) for route in routes)
    height = step * max(items.layer, default=0) + spacing.box_height
    return Placed(tuple(points[: len(widths)]), paths, width, height)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from a box that nothing points to."""
    layers = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layers[target] = max(layers[target], layers[source] + 1)
    return layers


def _route(items: _Items, source: int, target: int, bend: float) -> list[int]:
    """The items an edge passes, ends included; way points are added."""
    between = range(items.layer[source] + 1, items.layer[target])
    route = [source, *(items.add(layer, bend) for layer in between), target]
    for upper, lower in pairwise(route):
        items.join(upper, lower)
    return route


def _ordered(items: _Items) -> list[list[int]]:
    """The items of each layer from left to right."""
    rows: list[list[int]] = [[] for _ in range(max(items.layer, default=-1) + 1)]
    for item, layer in enumerate(items.layer):
        rows[layer].append(item)
    place = [0.0] * len(items.layer)
    for row in rows:
        _number(row, place)
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        for row in rows if downward else reversed(rows):
            near = items.above if downward else items.below
            weights = {item: _mean([place[n] for n in near[item]], place[item]) for item in row}
            row.sort(key=weights.__getitem__)
            _number(row, place)
    return rows


def _number(row: list[int], place: list[float]) -> None:
    """Places in a row as shares of its length, so that rows of unequal length compare."""
    for position, item in enumerate(row):
        place[item] = (position + 0.5) / len(row)


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _columns(rows: list[list[int]], items: _Items, gap: float) -> tuple[list[float], float]:
    """The centre of each item, and the width of the widest row."""
    lengths = [sum(items.width[i] for i in row) + gap * (len(row) - 1) for row in rows]
    total = max(lengths, default=0.0)
    centres = [0.0] * len(items.layer)
    for row, length in zip(rows, lengths, strict=True):
        x = (total - length) / 2
        for item in row:
            centres[item] = x + items.width[item] / 2
            x += items.width[item] + gap
    return centres, total


def _path(points: list[tuple[float, float]], box_height: float) -> tuple[tuple[float, float], ...]:
    """From the lower edge of the first box to the upper edge of the last."""
    (x0, y0), *middle, (x1, y1) = points
    return ((x0, y0 + box_height / 2), *middle, (x1, y1 - box_height / 2))
