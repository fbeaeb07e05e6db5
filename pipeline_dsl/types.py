"""The types of values: a dtype, dims, and whether it is optional or a stream.

`f32[*, ~L, 384]` is `TensorType(f32, (Rows(), Ragged(L), Sized(384)))`. Types are frozen and compare by
value; sizes in them are canonical (`sizes.Size`). Printing gives the language's own spelling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .dtypes import DType
from .sizes import Size


@dataclass(frozen=True, slots=True)
class Rows:
    """`*`: rows that are independent of one another; always first."""

    def __str__(self) -> str:
        return "*"


@dataclass(frozen=True, slots=True)
class Sized:
    """One size for the whole value: a number, a name or an expression."""

    size: Size

    def __str__(self) -> str:
        return str(self.size)


@dataclass(frozen=True, slots=True)
class Ragged:
    """`~L`: one size per element of the first dim."""

    size: Size

    def __str__(self) -> str:
        return f"~{self.size}" if self.size.is_atom else f"~({self.size})"


@dataclass(frozen=True, slots=True)
class Unknown:
    """`?`: any size, never checked."""

    def __str__(self) -> str:
        return "?"


@dataclass(frozen=True, slots=True)
class Rest:
    """`...`: any number of dims."""

    def __str__(self) -> str:
        return "..."


Dim = Rows | Sized | Ragged | Unknown | Rest


@dataclass(frozen=True, slots=True)
class TensorType:
    """The type of a value; `dims == ()` is one single value (rank 0)."""

    dtype: DType
    dims: tuple[Dim, ...] = ()
    optional: bool = False
    stream: bool = False

    @property
    def has_rows(self) -> bool:
        return bool(self.dims) and isinstance(self.dims[0], Rows)

    @property
    def has_rest(self) -> bool:
        return any(isinstance(d, Rest) for d in self.dims)

    @property
    def is_ragged(self) -> bool:
        return any(isinstance(d, Ragged) for d in self.dims)

    @property
    def rank(self) -> int | None:
        """Number of dims; None with `...`."""
        return None if self.has_rest else len(self.dims)

    def required(self) -> TensorType:
        """The same type, not optional."""
        return replace(self, optional=False) if self.optional else self

    def with_dims(self, dims: tuple[Dim, ...]) -> TensorType:
        return replace(self, dims=dims)

    def __str__(self) -> str:
        text = self.dtype.name
        if self.dims:
            text += "[" + ", ".join(map(str, self.dims)) + "]"
        if self.optional:
            text += "?"
        return f"stream {text}" if self.stream else text
