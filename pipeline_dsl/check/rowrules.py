"""The row rules: how a call takes its elements, and the types it gives.

Takes a signature and the types of the arguments, gives a `BoundCall` or all `Conflict`s. All `*` of a
signature are one count. At a call each port with `*` gets a value with that axis (`rows`: `*` or a size) or
without (`lift`: one row; `*` vanishes from the results, `~N` of a single row becomes `N`); never both kinds in
one call (E0305). Ports without `*` take one value for the whole call. A signature without `*` runs once for
each element (`each`).

    encoder(ids: i64[*, ~L]) -> (hidden: f32[*, ~L, 384])
      i64[*, ~M]  rows  f32[*, ~M, 384]
      i64[B, ~M]  rows  f32[B, ~M, 384]
      i64[M]      lift  f32[M, 384]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline_dsl.ir import Binding, Bound, Port, Signature
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rows, Sized, TensorType, Unknown

from .substitution import Substitution
from .unify import Alignment, Pair, align, kind_mismatch, unify


@dataclass(frozen=True, slots=True)
class BoundCall:
    """A call that fits its signature."""

    binding: Binding
    names: Substitution
    """What sizes and `*` of the signature are at this call."""
    results: tuple[TensorType, ...]
    """Types of the outputs in port order."""
    unchecked: tuple[int, ...] = ()
    """Ports where a `?` or `...` of the argument switched shape checking off."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a call does not fit. `port` and `other` (what it disagrees with) are inputs' indices."""

    code: str
    port: int
    expected: str = ""
    found: str = ""
    dim: int = -1
    """0-based in the argument's type; -1 where the whole type is meant."""
    other: int | None = None


Argument = TensorType | None
"""None: nothing that could bring rows: an absent optional, or a compile-time constant that each row gets."""


def bind(
    signature: Signature,
    arguments: Sequence[Argument],
    origin: str = "",
    unruled: frozenset[str] = frozenset(),
) -> BoundCall | tuple[Conflict, ...]:
    """Types one call.

    arguments: one for each input port. origin: of fresh sizes, `detect, line 19`. unruled: ragged dims (`L`)
    that the stage has no rule for and can not take without one.
    """
    given = [(i, p, a) for i, (p, a) in enumerate(zip(signature.inputs, arguments, strict=True)) if a is not None]
    conflicts = [c for i, p, a in given if (c := _kind(i, p, a, unruled)) is not None]
    axes = _axes(given) if signature.has_rows else _Axes("each")
    conflicts += axes.conflicts
    if conflicts:
        return tuple(conflicts)
    names = Substitution(origin, axes.dim if axes.binding == "rows" else None)
    pairs, hidden, conflicts = _pairs(given, axes.binding)
    if conflicts:
        return tuple(conflicts)
    mismatch, unchecked = unify(pairs, names, widen=True)
    if mismatch is not None:
        other = _binder(pairs, mismatch.place, mismatch.dim)
        return (Conflict(mismatch.code, mismatch.place, mismatch.expected, mismatch.found, mismatch.dim, other),)
    violated = _violated(signature, pairs, names)
    if violated is not None:
        return (violated,)
    results = tuple(names.type(p.type) for p in signature.outputs)
    return BoundCall(axes.binding, names, results, tuple(sorted(unchecked | hidden)))


def _kind(index: int, port: Port, argument: TensorType, unruled: frozenset[str]) -> Conflict | None:
    mismatch = kind_mismatch(port.type, argument, index)
    if mismatch is not None:
        return Conflict(mismatch.code, index, mismatch.expected, mismatch.found)
    for dim in port.type.dims:
        if isinstance(dim, Ragged) and (names := {s.name for s in dim.size.symbols} & unruled):
            return Conflict("E0306", index, min(names), str(argument))
    return None


@dataclass(frozen=True, slots=True)
class _Axes:
    """What the row ports of a call say together."""

    binding: Binding
    dim: Dim | None = None
    conflicts: tuple[Conflict, ...] = ()


def _axes(given: list[tuple[int, Port, TensorType]]) -> _Axes:
    first: tuple[int, Dim] | None = None
    bare: int | None = None
    conflicts: list[Conflict] = []
    for index, port, argument in given:
        if not port.type.has_rows:
            continue
        found = _axis(index, port.type, argument)
        if isinstance(found, Conflict):
            conflicts.append(found)
        elif found is None:
            bare = index if bare is None else bare
        elif first is None or isinstance(first[1], Unknown):
            first = (index, found)
        elif not _same_count(first[1], found):
            conflicts.append(Conflict("E0305", index, str(first[1]), str(found), 0, first[0]))
    if first is not None and bare is not None:
        conflicts.append(Conflict("E0305", bare, str(first[1]), "one row", other=first[0]))
    binding: Binding = "lift" if first is None else "rows"
    return _Axes(binding, first[1] if first else None, tuple(conflicts))


def _axis(index: int, port: TensorType, argument: TensorType) -> Dim | Conflict | None:
    """The argument's row axis; None if it is one single row. Decided by rank, unless the port has `...`."""
    rank, wanted = argument.rank, port.rank
    if wanted is None or rank is None or rank == wanted:
        if not argument.dims:
            return Conflict("E0304", index, str(port), str(argument))
        first = argument.dims[0]
        return first if isinstance(first, Rows | Sized) else Unknown()
    if rank == wanted - 1 and not argument.has_rows:
        return None
    return Conflict("E0304", index, str(port), str(argument))


def _same_count(left: Dim, right: Dim) -> bool:
    return left == right or isinstance(right, Unknown)


def _pairs(given: list[tuple[int, Port, TensorType]], binding: Binding) -> tuple[list[Pair], set[int], list[Conflict]]:
    """All dims to compare, apart from the row axis; the ports whose argument hides dims; ports whose ranks differ."""
    pairs: list[Pair] = []
    unchecked: set[int] = set()
    conflicts: list[Conflict] = []
    for index, port, argument in given:
        found = _aligned(index, port.type, argument, binding)
        if found is None:
            conflicts.append(Conflict("E0304", index, str(port.type), str(argument)))
            continue
        pairs += found.pairs
        if found.unchecked:
            unchecked.add(index)
        conflicts += _hidden_ragged(index, port.type, argument)
    return pairs, unchecked, conflicts


def _aligned(index: int, port: TensorType, argument: TensorType, binding: Binding) -> Alignment | None:
    if not port.has_rows:
        return align(port.dims, argument.dims, index)
    if binding == "rows":
        return align(port.dims[1:], _without_axis(argument.dims), index, 1)
    dims = tuple(Sized(d.size) if isinstance(d, Ragged) else d for d in port.dims[1:])
    return align(dims, argument.dims, index)


def _without_axis(dims: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Dims behind the row axis; a leading `...` may still hide some."""
    return dims[1:] if isinstance(dims[0], Rows | Sized | Unknown) else dims


def _hidden_ragged(index: int, port: TensorType, argument: TensorType) -> list[Conflict]:
    """A `...` takes sizes, not lengths of each row."""
    ragged = next((i for i, d in enumerate(argument.dims) if isinstance(d, Ragged)), None)
    if port.has_rest and not port.is_ragged and ragged is not None:
        return [Conflict("E0301", index, "one size", str(argument.dims[ragged]), ragged)]
    return []


def _binder(pairs: list[Pair], place: int, dim: int) -> int | None:
    """The port that gave a size its value before this one disagreed."""
    here = next(p for p in pairs if p.place == place and p.dim == dim)
    if not isinstance(here.want, Sized | Ragged):
        return None
    symbols = here.want.size.symbols
    for pair in pairs:
        if pair is not here and isinstance(pair.want, Sized | Ragged) and pair.want.size.symbol in symbols:
            return pair.place if pair.place != place else None
    return None


def _violated(signature: Signature, pairs: list[Pair], names: Substitution) -> Conflict | None:
    """A `where` bound that the given sizes can not keep."""
    for bound in signature.bounds:
        symbols = bound.left.symbols | bound.right.symbols
        if any(names.is_free(s) or s in names.unknown for s in symbols):
            continue
        if holds(bound, names) is False:
            return Conflict("E0307", _place(pairs, symbols), str(bound), _values(symbols, names))
    return None


def _place(pairs: list[Pair], symbols: frozenset[Symbol]) -> int:
    sized = (p for p in pairs if isinstance(p.want, Sized | Ragged) and p.want.size.symbols & symbols)
    found = next(sized, None)
    return found.place if found else 0


def _values(symbols: frozenset[Symbol], names: Substitution) -> str:
    return ", ".join(f"{s} = {names.sizes[s]}" for s in sorted(symbols, key=str))


def holds(bound: Bound, names: Substitution) -> bool | None:
    """Whether a bound is kept; None where that is known at run time only."""
    left, right = bound.left.substitute(names.sizes), bound.right.substitute(names.sizes)
    difference: Size = left - right
    if difference.value is None:
        return None
    d = difference.value
    return {"<=": d <= 0, "<": d < 0, "==": d == 0, ">=": d >= 0, ">": d > 0}[bound.op]
