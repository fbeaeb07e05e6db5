"""Where boxes stand: layers from top to bottom, ordered so that few arrows cross, and room for every label.

Layers are longest paths, orders come from a few barycentre sweeps (Sugiyama's method). Each box then moves as near to
the middle of its neighbours as the boxes beside it allow. An arrow over several layers passes through a point in each,
which takes part in all of this like a box and keeps room for the arrow's label; labels of other arrows stand in the
gap between two layers, which grows until none overlap. Units are those of the sizes given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

SWEEPS = 6
_NARROW = 8.0
"""Room for an arrow that passes a layer without its label."""

Point = tuple[float, float]
Size = tuple[float, float]
"""Width and height."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Centres of boxes and labels, the points each edge passes (ends included), and the size of the whole."""

    centres: tuple[Point, ...]
    paths: tuple[tuple[Point, ...], ...]
    labels: tuple[Point, ...]
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Spacing:
    """Room between things."""

    between_boxes: float = 28
    between_layers: float = 34
    """Beside the rows of labels in it."""
    between_labels: float = 6


@dataclass(slots=True)
class _Items:
    """Boxes and way points alike. `above` and `below` are neighbours one layer away."""

    layer: list[int] = field(default_factory=list)
    size: list[Size] = field(default_factory=list)
    above: list[list[int]] = field(default_factory=list)
    below: list[list[int]] = field(default_factory=list)

    def add(self, layer: int, size: Size) -> int:
        self.layer.append(layer)
        self.size.append(size)
        self.above.append([])
        self.below.append([])
        return len(self.layer) - 1

    def join(self, upper: int, lower: int) -> None:
        self.below[upper].append(lower)
        self.above[lower].append(upper)


def place(sizes: Sequence[Size], edges: Sequence[tuple[int, int]], labels: Sequence[Size], spacing: Spacing) -> Placed:
    """Places boxes of given sizes. `edges` point from lower to higher indices; each has a label, of no size if it has
    none."""
    items = _Items()
    for layer, size in zip(_layers(len(sizes), edges), sizes, strict=True):
        items.add(layer, size)
    routes = [_route(items, *edge, label) for edge, label in zip(edges, labels, strict=True)]
    rows = _ordered(items)
    columns = _columns(rows, items, spacing.between_boxes)
    spread = [_rows_of_labels(i, routes, labels, columns, items, spacing) for i in range(len(rows) - 1)]
    tops, heights = _bands(rows, items, spread, labels, spacing)
    paths = tuple(_path(route, columns, items, tops, heights) for route in routes)
    spots = tuple(_spot(i, routes[i], paths[i], items, spread) for i in range(len(routes)))
    centres = [(columns[i], tops[items.layer[i]] + sizes[i][1] / 2) for i in range(len(sizes))]
    return _moved(centres, paths, spots, sizes, labels, tops[-1] + heights[-1] if rows else 0.0)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from a box that nothing points to."""
    layers = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layers[target] = max(layers[target], layers[source] + 1)
    return layers


def _route(items: _Items, source: int, target: int, label: Size) -> list[int]:
    """The items an edge passes, ends included; way points are added, the middle one with room for the label."""
    between = range(items.layer[source] + 1, items.layer[target])
    holder = len(between) // 2
    sizes = [label if i == holder else (_NARROW, 0.0) for i in range(len(between))]
    route = [source, *(items.add(layer, size) for layer, size in zip(between, sizes)), target]
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


def _columns(rows: list[list[int]], items: _Items, gap: float) -> list[float]:
    """The x of each item: packed first, then drawn to the middle of its neighbours, above and below in turn."""
    x = [0.0] * len(items.layer)
    for row in rows:
        for item, at in zip(row, _apart([0.0] * len(row), row, items, gap)):
            x[item] = at
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wished = [_mean([x[n] for n in (*items.above[i], *items.below[i])], x[i]) for i in row]
            for item, at in zip(row, _apart(wished, row, items, gap)):
                x[item] = at
    return x


def _apart(wished: list[float], row: list[int], items: _Items, gap: float) -> list[float]:
    """Places in the order of the row, as near to those wished for (in least squares) as widths and gaps allow."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (items.size[left][0] + items.size[right][0]) / 2 + gap)
    blocks: list[tuple[float, int]] = []  # mean of what its members wish for, less their offsets; how many
    for wish, offset in zip(wished, offsets):
        mean, count = wish - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, members = blocks.pop()
            mean = (before * members + mean * count) / (members + count)
            count += members
        blocks.append((mean, count))
    level = [mean for mean, count in blocks for _ in range(count)]
    return [base + offset for base, offset in zip(level, offsets)]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Labels of one gap: the share of its height at which each edge's label stands, and its x."""

    spots: dict[int, tuple[float, float]]
    count: int
    height: float
    """Of one row."""


def _rows_of_labels(
    gap: int, routes: list[list[int]], labels: Sequence[Size], x: list[float], items: _Items, spacing: Spacing
) -> _Rows:
    """The fewest rows in which the labels of the edges across a gap fit, each on its own arrow."""
    here = [
        i for i, r in enumerate(routes) if len(r) == 2 and items.layer[r[0]] == gap and labels[i][0]
    ]  # way points hold the others
    here.sort(key=lambda i: (x[routes[i][0]] + x[routes[i][1]], i))
    height = max((labels[i][1] for i in here), default=0.0) + spacing.between_labels
    for count in range(1, len(here) + 1):
        spots = _fitted(here, count, routes, labels, x, spacing.between_labels)
        if spots is not None:
            return _Rows(spots, count, height)
    return _Rows({}, 0, 0.0)


def _fitted(
    edges: list[int], rows: int, routes: list[list[int]], labels: Sequence[Size], x: list[float], gap: float
) -> dict[int, tuple[float, float]] | None:
    """Spots in so many rows, or None: for each the first row where it overlaps none, from the end where arrows part."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(rows)]
    sources = Counter(routes[edge][0] for edge in edges)
    targets = Counter(routes[edge][1] for edge in edges)
    spots: dict[int, tuple[float, float]] = {}
    for edge in edges:
        source, target = routes[edge]
        half = labels[edge][0] / 2
        part_below = sources[source] > targets[target]
        for row in reversed(range(rows)) if part_below else range(rows):
            share = (row + 0.5) / rows
            at = _along(x[source], x[target], share)
            low, high = at - half - gap, at + half + gap
            if all(high <= left or right <= low for left, right in taken[row]):
                spots[edge] = (share, at)
                taken[row].append((at - half, at + half))
                break
        else:
            return None
    return spots


def _along(start: float, stop: float, share: float) -> float:
    """The x of a curve that leaves and arrives vertically, at a share of its height."""
    low, high = 0.0, 1.0
    for _ in range(24):
        t = (low + high) / 2
        y = 1.5 * (1 - t) * t + t**3  # control points at half the height
        low, high = (t, high) if y < share else (low, t)
    return start + (stop - start) * (3 * low**2 - 2 * low**3)


def _bands(
    rows: list[list[int]], items: _Items, spread: list[_Rows], labels: Sequence[Size], spacing: Spacing
) -> tuple[list[float], list[float]]:
    """Top and height of each layer."""
    heights = [max((items.size[i][1] for i in row), default=0.0) for row in rows]
    tops: list[float] = []
    y = 0.0
    for i, height in enumerate(heights):
        tops.append(y)
        y += height + (spacing.between_layers + spread[i].count * spread[i].height if i < len(spread) else 0.0)
    return tops, heights


def _path(
    route: list[int], x: list[float], items: _Items, tops: list[float], heights: list[float]
) -> tuple[Point, ...]:
    """Straight down beside the boxes of a layer, curved between layers: an arrow crosses no box."""
    points: list[Point] = []
    for item in route:
        layer = items.layer[item]
        top, bottom = tops[layer], tops[layer] + heights[layer]
        if item == route[0]:
            points += [(x[item], top + items.size[item][1]), (x[item], bottom)]
        elif item == route[-1]:
            points.append((x[item], top))
        else:
            points += [(x[item], top), (x[item], bottom)]
    return tuple(points)


def _spot(edge: int, route: list[int], path: tuple[Point, ...], items: _Items, spread: list[_Rows]) -> Point:
    """The centre of an edge's label: in its gap, or where it passes its middle layer."""
    if len(route) > 2:
        (x, top), (_, bottom) = path[2 * (1 + (len(route) - 2) // 2) :][:2]
        return x, (top + bottom) / 2
    (_, top), (x, bottom) = path[1:3]
    share, at = spread[items.layer[route[0]]].spots.get(edge, (0.5, x))
    return at, top + (bottom - top) * share


def _moved(
    centres: list[Point],
    paths: tuple[tuple[Point, ...], ...],
    spots: tuple[Point, ...],
    sizes: Sequence[Size],
    labels: Sequence[Size],
    height: float,
) -> Placed:
    """Everything moved so that it begins at 0, labels and way points included."""
    left = [x - w / 2 for (x, _), (w, _) in (*zip(centres, sizes), *zip(spots, labels))]
    right = [x + w / 2 for (x, _), (w, _) in (*zip(centres, sizes), *zip(spots, labels))]
    left += [x for path in paths for x, _ in path]
    right += [x for path in paths for x, _ in path]
    start = min(left, default=0.0)
    width = max(right, default=0.0) - start

    def move(points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple((x - start, y) for x, y in points)

    return Placed(move(centres), tuple(map(move, paths)), move(spots), width, height)
