"""Optimisation profiles: the shapes that an engine is built for, and the one that a batch runs under. Pure.

A profile gives each input tensor a range per axis. When an engine is built, they come from the stage:

    *            1 .. batching.max, best at the largest of batching.preferred, else at the maximum
    ~L, L        what `where` says of L, best at the maximum
    ~L padded to buckets       a profile for each bucket, since no batch has another width; one more above the last
    packed rows  1 .. all rows at their longest

Where names with buckets multiply to more than `MOST` profiles, one profile covers all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from backends.base import BackendError
from backends.ort_tensors import Slot
from pipeline_dsl.ir import Bound
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Ragged, Rest, Rows, Sized

MOST = 16
"""Profiles of one engine."""


@dataclass(frozen=True, slots=True)
class Range:
    """Sizes of an axis: least, the one that is tuned for, most."""

    least: int
    best: int
    most: int

    def __str__(self) -> str:
        return str(self.least) if self.least == self.most else f"{self.least}..{self.most}"


Profile = Mapping[str, tuple[Range, ...]]
"""Ranges of the axes of each input tensor, by tensor name."""


def profiles_of(stage: StagePlan, slots: Sequence[Slot]) -> tuple[Profile, ...]:
    """The profiles for a stage whose input tensors are `slots`; () if no axis is open. BackendError where nothing
    bounds an open axis."""
    if all(isinstance(size, int) for slot in slots for size in slot.tensor.shape):
        return ()
    rows = _rows(stage)
    return tuple(
        {slot.tensor.name: _ranges(slot, rows, sizes, stage) for slot in slots} for sizes in _cases(stage, slots)
    )


def narrowest(profiles: Sequence[Profile], shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Index of the profile with the fewest items at its maximum that holds the shapes; None if none does."""
    fitting = [i for i, profile in enumerate(profiles) if fits(profile, shapes)]
    return min(fitting, key=lambda i: (_volume(profiles[i]), i), default=None)


def fits(profile: Profile, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether all shapes are within a profile."""
    return all(
        len(shapes[name]) == len(ranges) and all(r.least <= n <= r.most for r, n in zip(ranges, shapes[name]))
        for name, ranges in profile.items()
        if name in shapes
    )


def shown(profile: Profile, tensor: str) -> str:
    """A tensor's ranges as text: `[1..8, 3, 32..512]`."""
    return "[" + ", ".join(map(str, profile[tensor])) + "]"


def _volume(profile: Profile) -> int:
    return sum(prod(r.most for r in ranges) for ranges in profile.values())


# ---- from the stage


def _rows(stage: StagePlan) -> Range:
    most = stage.batching.max_rows if stage.has_rows else 1
    if not most:
        hint = "set `batching { max = n }`"
        raise BackendError(f"stage `{stage.name}`: an engine needs a largest number of rows", hint)
    return Range(1, max((n for n in stage.batching.preferred if n <= most), default=most), most)


def _cases(stage: StagePlan, slots: Sequence[Slot]) -> list[dict[str, Range]]:
    """Ranges of the size names on open axes: one case for each profile."""
    names = sorted({s.name for slot in slots for dim in _open_dims(slot) for s in _symbols(dim)})
    choices = [_choices(name, stage, slots) for name in names]
    if prod(map(len, choices)) > MOST:
        choices = [[_joined(ranges)] for ranges in choices]
    return [dict(zip(names, case)) for case in product(*choices)]


def _choices(name: str, stage: StagePlan, slots: Sequence[Slot]) -> list[Range]:
    buckets = sorted({b for slot in slots for b in _buckets(slot.port, name)})
    least, most = _limits(name, stage.bounds)
    found = [Range(b, b, b) for b in buckets]
    if most is not None and most > max(buckets, default=0):
        found.append(Range(max(least, max(buckets, default=0) + 1), most, most))
    if not found:
        message = f"stage `{stage.name}`: size `{name}` has no largest value, and an engine is built for one"
        raise BackendError(message, f"add `where {name} <= n` to the signature, or buckets to its ragged rule")
    return found


def _buckets(port: PortPlan, name: str) -> tuple[int, ...]:
    plain = any(isinstance(d, Ragged) and d.size.symbol and d.size.symbol.name == name for d in port.type.dims)
    return port.buckets if plain else ()


def _limits(name: str, bounds: Iterable[Bound]) -> tuple[int, int | None]:
    """The smallest and the largest number that `where` allows for a name; at least 1."""
    least, most = 1, []
    for bound in bounds:
        left, op, right = bound.left, bound.op, bound.right
        if right.symbol is not None and left.value is not None:
            left, op, right = right, _FLIPPED.get(op, op), left
        if left.symbol is None or left.symbol.name != name or right.value is None:
            continue
        if op in ("<=", "<", "=="):
            most.append(right.value - (op == "<"))
        if op in (">=", ">", "=="):
            least = max(least, right.value + (op == ">"))
    return least, min(most, default=None)


_FLIPPED = {"<=": ">=", "<": ">", ">=": "<=", ">": "<"}


def _joined(ranges: Sequence[Range]) -> Range:
    most = max(r.most for r in ranges)
    return Range(min(r.least for r in ranges), most, most)


def _ranges(slot: Slot, rows: Range, sizes: Mapping[str, Range], stage: StagePlan) -> tuple[Range, ...]:
    return tuple(
        Range(size, size, size) if isinstance(size, int) else _range(slot, axis, rows, sizes, stage)
        for axis, size in enumerate(slot.tensor.shape)
    )


def _range(slot: Slot, axis: int, rows: Range, sizes: Mapping[str, Range], stage: StagePlan) -> Range:
    port, dim = slot.port, _dim(slot, axis)
    if port.filled == "offsets":
        return Range(rows.least + 1, rows.best + 1, rows.most + 1)
    if isinstance(dim, Rows):
        return rows
    if isinstance(dim, Sized | Ragged):
        each = _evaluated(dim.size, sizes)
        if port.form == "packed" and axis == 0:
            return Range(each.least, rows.best * each.best, rows.most * each.most)
        return each
    message = f"stage `{stage.name}`: dim {axis} of `{port.name}` is `{dim or '...'}`, and an engine is built for sizes"
    raise BackendError(message, "give it a name, and bound it: `where NAME <= n`")


def _evaluated(size: Size, sizes: Mapping[str, Range]) -> Range:
    """Sizes grow with the names in them, but for subtractions: the ends are put in order."""
    least = size.evaluate({name: r.least for name, r in sizes.items()})
    best = size.evaluate({name: r.best for name, r in sizes.items()})
    most = size.evaluate({name: r.most for name, r in sizes.items()})
    least, most = min(least, most), max(least, most)
    return Range(max(least, 0), min(max(best, least), most), most)


def _open_dims(slot: Slot) -> list[Any]:
    if slot.port.filled == "offsets":
        return []
    return [_dim(slot, axis) for axis, size in enumerate(slot.tensor.shape) if not isinstance(size, int)]


def _dim(slot: Slot, axis: int) -> Any:
    """The dim of a port on an axis of its tensor; None inside `...`. Packed rows have lost their row axis."""
    dims = list(slot.port.type.dims)
    if slot.port.form == "packed":
        dims = dims[1:]
    rest = next((i for i, d in enumerate(dims) if isinstance(d, Rest)), None)
    if rest is None or axis < rest:
        return dims[axis] if axis < len(dims) else None
    from_end = axis - len(slot.tensor.shape)
    return dims[from_end] if from_end >= rest + 1 - len(dims) else None


def _symbols(dim: Any) -> Iterable[Any]:
    return dim.size.symbols if isinstance(dim, Sized | Ragged) else ()
