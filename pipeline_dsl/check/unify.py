"""Whether a value fits a type, dim by dim, and what the names in that type are then.

Takes the type that is wanted (the match may bind its symbols) and the type that is there; gives the first
`Mismatch` or None, and fills a `Substitution`. Sizes are equal if their difference is 0, differ if it is
another number (E0301), and else nobody can tell (E0303). Plain names are bound before anything is compared,
so the order of ports does not matter; `2*H` against 8 then gives `H`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

from .substitution import Substitution


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Two types disagree. `dim` is 0-based in the value's type, -1 where the whole type is meant."""

    code: str
    expected: str
    found: str
    dim: int = -1
    place: int = 0
    """Which of several matches made together (the port's index in a call)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A wanted dim and the one that stands there."""

    want: Dim
    have: Dim
    dim: int
    place: int = 0


@dataclass(frozen=True, slots=True)
class Alignment:
    """The dims of a wanted type beside those of a value."""

    pairs: tuple[Pair, ...]
    unchecked: bool = False
    """A `...` of the value may hide dims that are wanted."""


def kind_mismatch(want: TensorType, have: TensorType, place: int = 0) -> Mismatch | None:
    """What is wrong besides dims: a stream, an optional value, another dtype."""
    if want.stream != have.stream:
        return Mismatch("E0701" if have.stream else "E0702", str(want), str(have), place=place)
    if want.dtype is not have.dtype:
        return Mismatch("E0302", str(want), str(have), place=place)
    if have.optional and not want.optional:
        return Mismatch("E0309", str(want), str(have), place=place)
    return None


def align(want: tuple[Dim, ...], have: tuple[Dim, ...], place: int = 0, offset: int = 0) -> Alignment | None:
    """Dims side by side; None if the ranks differ. `offset` is added to dim numbers.

    A `...` stands for any number of dims: what is before it is compared from the front, what is after it from
    the back.
    """
    rest_want, rest_have = _rest(want), _rest(have)
    if rest_want is None and rest_have is None:
        return Alignment(_pairs(want, have, place, offset)) if len(want) == len(have) else None
    if (rest_have is None and len(have) < len(want) - 1) or (rest_want is None and len(want) < len(have) - 1):
        return None
    front = min(len(side) if at is None else at for side, at in ((want, rest_want), (have, rest_have)))
    back = min(len(side) - (0 if at is None else at + 1) for side, at in ((want, rest_want), (have, rest_have)))
    back = min(back, len(want) - front, len(have) - front)
    start = len(have) - back
    tail = _pairs(want[len(want) - back :], have[start:], place, offset + start)
    pairs = _pairs(want[:front], have[:front], place, offset) + tail
    return Alignment(pairs, rest_have is not None and len(pairs) < len(want) - (rest_want is not None))


def _rest(dims: tuple[Dim, ...]) -> int | None:
    return next((i for i, d in enumerate(dims) if isinstance(d, Rest)), None)


def _pairs(want: tuple[Dim, ...], have: tuple[Dim, ...], place: int, offset: int) -> tuple[Pair, ...]:
    return tuple(Pair(w, h, i, place) for i, (w, h) in enumerate(zip(want, have, strict=True), offset))


def unify(pairs: Iterable[Pair], names: Substitution, *, widen: bool) -> tuple[Mismatch | None, set[int]]:
    """Binds the names of the wanted dims; the first mismatch, and the places where a `?` of the value hid one.

    widen: a plain size will do for `~L` (all lengths are equal), as it does for an argument of a call.
    """
    todo = list(pairs)
    for pair in todo:
        _bind_name(pair, names)
    unchecked = {p.place for p in todo if isinstance(p.have, Unknown) and not isinstance(p.want, Unknown)}
    for pair in todo:
        found = _compare(pair, names, widen)
        if found is not None:
            return found, unchecked
    return None, unchecked


def _bind_name(pair: Pair, names: Substitution) -> None:
    """`L` against anything binds `L`, if it is free."""
    if not isinstance(pair.want, Sized | Ragged):
        return
    symbol = pair.want.size.symbol
    if symbol is None or not names.is_free(symbol):
        return
    if isinstance(pair.have, Sized | Ragged):
        names.sizes[symbol] = pair.have.size
    elif isinstance(pair.have, Unknown):
        names.unknown.add(symbol)


def _compare(pair: Pair, names: Substitution, widen: bool) -> Mismatch | None:
    want, have = pair.want, pair.have
    if isinstance(want, Rows) or isinstance(have, Rows):
        return None if isinstance(want, Rows) and isinstance(have, Rows) else _differ("E0301", pair, str(want))
    if isinstance(want, Unknown):
        return _differ("E0301", pair, "one size") if isinstance(have, Ragged) else None
    if isinstance(have, Unknown):
        return None
    if not isinstance(want, Sized | Ragged) or not isinstance(have, Sized | Ragged):
        return None
    if isinstance(want, Sized) and isinstance(have, Ragged):
        return _differ("E0301", pair, str(want))
    if isinstance(want, Ragged) and isinstance(have, Sized) and not widen:
        return _differ("E0301", pair, str(want))
    return _compare_sizes(pair, want.size, have.size, names)


def _compare_sizes(pair: Pair, want: Size, have: Size, names: Substitution) -> Mismatch | None:
    free = [s for s in want.symbols if names.is_free(s)]
    if len(free) == 1:
        solution = solve(want.substitute(names.sizes), free[0], have)
        if solution is None:
            return None if have.value is None else _differ("E0301", pair, str(want))
        names.sizes[free[0]] = solution
        if want.substitute(names.sizes).value is None:
            return None
    elif free:
        return None
    expected = names.size(want)
    if expected is None:
        return None
    difference = (expected - have).value
    if difference == 0:
        return None
    return _differ("E0303" if difference is None else "E0301", pair, str(expected))


def solve(size: Size, symbol: Symbol, total: Size) -> Size | None:
    """The symbol for which `size` is `total`: `2*H + 1` and 9 give 4. None: there is none, or it is not linear.

    Among symbolic sizes the division is whole-number; the executor measures whether it came out even.
    """
    factor = next((c for monomial, c in size.terms if monomial == (symbol,)), 0)
    rest = size - Size.of(symbol) * Size.of(factor)
    if not factor or symbol in rest.symbols:
        return None
    remainder = total - rest
    if remainder.value is not None and (remainder.value % factor or remainder.value // factor < 0):
        return None
    return remainder // Size.of(factor)


def _differ(code: str, pair: Pair, expected: str) -> Mismatch:
    return Mismatch(code, expected, str(pair.have), pair.dim, pair.place)
