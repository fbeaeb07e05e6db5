"""How many bytes one row of a value has, where the type says it."""

from __future__ import annotations

from pipeline_dsl.ir import Binding
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Dim, Ragged, Sized, TensorType
from pipeline_dsl.units import bytes_text


def row_bytes(type_: TensorType, binding: Binding) -> int:
    """Bytes of one row: of an item of the first dim for `rows`, of the whole value otherwise. 0 where it depends on
    sizes not known before run time, or on text."""
    sizes = _sizes(type_, binding)
    return _known(type_, sizes) if sizes is not None and all(s.value is not None for s in sizes) else 0


def row_bytes_text(type_: TensorType, binding: Binding) -> str:
    """`588 KiB per row`, `1.5 KiB x L per row`, or that it depends on the data."""
    sizes = _sizes(type_, binding)
    if sizes is None:
        return "bytes depend on the data"
    unknown = [_plain(size) for size in sizes if size.value is None]
    names = [str(size) if size.is_atom else f"({size})" for size in unknown]
    return " x ".join([bytes_text(_known(type_, sizes)), *names]) + " per row"


def _sizes(type_: TensorType, binding: Binding) -> list[Size] | None:
    """The sizes of one row; None where one has no name, and for text."""
    dims: tuple[Dim, ...] = type_.dims[1:] if type_.has_rows or binding == "rows" else type_.dims
    if not type_.dtype.itemsize or not all(isinstance(d, Sized | Ragged) for d in dims):
        return None
    return [d.size for d in dims if isinstance(d, Sized | Ragged)]


def _plain(size: Size) -> Size:
    """Without saying where its names come from."""
    return size.substitute({symbol: Size.of(symbol.name) for symbol in size.symbols})


def _known(type_: TensorType, sizes: list[Size]) -> int:
    total = type_.dtype.itemsize
    for size in sizes:
        total *= 1 if size.value is None else size.value
    return total
