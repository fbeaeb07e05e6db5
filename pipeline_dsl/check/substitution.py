"""What the names in a type stand for at one place: sizes for symbols, a dim (or nothing) for the row axis.

Takes the types of a signature or of an inlined pipeline, gives them as they are at a call. Symbols that
nothing bound are fresh: `Symbol("N", "detect, line 19")`, so sizes of two calls never look equal by accident.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rows, Sized, TensorType, Unknown

KEEP = Rows()
"""The row axis stays the row axis."""


@dataclass(slots=True)
class Substitution:
    """Sizes by symbol, filled while a call is typed. A symbol in `unknown` met a `?`."""

    origin: str = ""
    """Origin of fresh symbols."""
    rows: Dim | None = KEEP
    """What `*` becomes; None: the axis is dropped, one row was lifted."""
    sizes: dict[Symbol, Size] = field(default_factory=dict)
    unknown: set[Symbol] = field(default_factory=set)
    made: set[Symbol] = field(default_factory=set)
    """The fresh symbols."""

    def is_free(self, symbol: Symbol) -> bool:
        """Whether nothing has been said about a symbol yet."""
        return symbol not in self.sizes and symbol not in self.unknown

    def size(self, size: Size) -> Size | None:
        """A size at this place; None where it is unknown. Free symbols become fresh ones."""
        for symbol in size.symbols:
            if symbol in self.unknown:
                return None
            if symbol not in self.sizes:
                self.sizes[symbol] = Size.of(self.fresh(symbol))
        return size.substitute(self.sizes)

    def fresh(self, symbol: Symbol) -> Symbol:
        """A symbol that stands for this name at this place only."""
        origin = f"{symbol.origin}, in {self.origin}" if symbol.origin else self.origin
        found = Symbol(symbol.name, origin)
        self.made.add(found)
        return found

    def type(self, type: TensorType) -> TensorType:
        """A type at this place."""
        return type.with_dims(tuple(self._dims(type.dims))) if type.dims else type

    def _dims(self, dims: tuple[Dim, ...]) -> Iterator[Dim]:
        lifted = self.rows is None and isinstance(dims[0], Rows)
        for dim in dims:
            if isinstance(dim, Rows):
                if self.rows is not None:
                    yield self.rows
            elif isinstance(dim, Sized):
                size = self.size(dim.size)
                yield Unknown() if size is None else Sized(size)
            elif isinstance(dim, Ragged):
                yield self._ragged(dim, lifted)
            else:
                yield dim

    def _ragged(self, dim: Ragged, lifted: bool) -> Dim:
        size = self.size(dim.size)
        if lifted:
            return Unknown() if size is None else Sized(size)
        return Ragged(dim.size.substitute(self._named(dim.size)) if size is None else size)

    def _named(self, size: Size) -> dict[Symbol, Size]:
        """`~L` of an unknown size keeps a name: a ragged dim is always made of lengths."""
        return {s: self.sizes.get(s, Size.of(self.fresh(s))) for s in size.symbols}
