"""One type for what several arms yield.

Equal dtypes, and dims side by side: equal sizes stay, sizes that differ become a fresh one, `T` and `T?` become `T?`.
A fresh size is the same for each result whose sizes differ in the same way, so that `boxes` and `scores` of two
detectors still share their `N`. A constant takes the dtype of the other arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipeline_dsl.dtypes import DType
from pipeline_dsl.errors.control import ArmsDisagree
from pipeline_dsl.operations import Problem, Typed, common, fit
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.source import Span
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

from .body import Body
from .regions import Value
from .yields import Yielded

Given = tuple[Value, Span]
"""A value that is there, and where it is yielded."""


@dataclass(slots=True)
class Joining:
    """The results of one construct: the sizes that differ between its arms, and what they are called."""

    body: Body
    word: str
    origin: str
    sizes: dict[tuple[Size, ...], Size] = field(default_factory=dict)

    def fresh(self, sizes: tuple[Size, ...]) -> Size:
        """The size that is each of these in its arm."""
        if sizes not in self.sizes:
            name = next((s.symbol.name for s in sizes if s.symbol is not None), "N")
            used = {size.symbol.name for size in self.sizes.values() if size.symbol is not None}
            number = next(n for n in range(1, len(used) + 2) if (name if n == 1 else f"{name}{n}") not in used)
            symbol = Symbol(name if number == 1 else f"{name}{number}", self.origin)
            self.body.fresh.add(symbol)
            self.sizes[sizes] = Size.of(symbol)
            self._bound(symbol, sizes)
        return self.sizes[sizes]

    def _bound(self, symbol: Symbol, sizes: tuple[Size, ...]) -> None:
        known = self.body.shared.limits
        limits = [s.value if s.value is not None else known.get(s.symbol) if s.symbol else None for s in sizes]
        if None not in limits:
            known[symbol] = max(limit for limit in limits if limit is not None)


def joined(joining: Joining, target: str, yielded: Sequence[Yielded]) -> TensorType | None:
    """The type of a result; None after E0501."""
    values = [(one.value, one.span) for one in yielded if one.value is not None]
    given = [(value, span) for value, span in values if value.typed.value is not None]
    if not given:
        return replace(values[0][0].type, optional=True)
    first = next(((v, s) for v, s in given if not v.typed.known), given[0])
    dtype = first[0].type.dtype if not first[0].typed.known else _together([v.typed for v, _ in given])
    kinds: list[TensorType] = []
    for value, span in given:
        kind = _of_dtype(value, dtype, first[0].type)
        if isinstance(kind, Problem):
            why = f": {kind.text}" if kind.kind != "dtype" else ""
            _disagree(joining, target, first, (value, span), why, kind.help)
            return None
        kinds.append(kind)
    for at, (kind, one) in enumerate(zip(kinds, given, strict=True)):
        if kind.rank != kinds[0].rank:
            _disagree(joining, target, given[0], one, ", which have different numbers of dims")
            return None
        if at and _kinds(kind) != _kinds(kinds[0]):
            _disagree(joining, target, given[0], one, ", whose dims are of different kinds")
            return None
    dims = [_dim(joining, column) for column in zip(*(kind.dims for kind in kinds), strict=False)]
    optional = len(given) < len(values) or any(kind.optional for kind in kinds)
    return replace(kinds[0], dims=(Rest(),) if _hides(kinds) else tuple(dims), optional=optional)


def _together(constants: Sequence[Typed]) -> DType:
    """The dtype of constants alone: numbers without a type meet in one."""
    dtypes = {c.type.dtype for c in constants}
    if len(dtypes) > 1 and all(c.type.dtype.kind in ("int", "uint", "float") for c in constants):
        return common(constants) or constants[0].type.dtype
    return constants[0].type.dtype


def _of_dtype(value: Value, dtype: DType, first: TensorType) -> TensorType | Problem:
    if value.type.stream != first.stream:
        return Problem("a stream is no value", kind="tensor", help="`collect(..)`, or `stream_of(..)`")
    if value.typed.known and first.stream:
        return first.required()
    if value.typed.known:
        fitted = fit(value.typed, TensorType(dtype, value.type.dims))
        return fitted if isinstance(fitted, Problem) else fitted.type
    if value.type.dtype is dtype:
        return value.type
    numbers = value.type.dtype.numeric and dtype.numeric
    return Problem(f"{value.type.dtype} is not {dtype}", help=f"convert one: `cast(.., {dtype})`" if numbers else "")


def _kinds(kind: TensorType) -> list[str]:
    """Which dims are rows, one size, or ragged; a `?` is one size."""
    names = {Rows: "rows", Ragged: "ragged", Sized: "size", Unknown: "size", Rest: "rest"}
    return ["rest"] if kind.has_rest else [names[type(d)] for d in kind.dims]


def _hides(kinds: Sequence[TensorType]) -> bool:
    """Whether `...` stands for dims that can not be told apart."""
    return kinds[0].has_rest and any(kind.dims != kinds[0].dims for kind in kinds)


def _dim(joining: Joining, dims: tuple[Dim, ...]) -> Dim:
    if all(d == dims[0] for d in dims):
        return dims[0]
    sizes = tuple(d.size for d in dims if isinstance(d, Sized | Ragged))
    if len(sizes) < len(dims):
        return Unknown()
    size = joining.fresh(sizes)
    return Ragged(size) if isinstance(dims[0], Ragged) else Sized(size)


def _disagree(joining: Joining, target: str, first: Given, other: Given, why: str, advice: str = "") -> None:
    a, b = sorted((first, other), key=lambda one: one[1].start)
    joining.body.report(ArmsDisagree(joining.word, b[1], target, str(b[0].type), a[1], str(a[0].type), why, advice))
