"""Shapes that clients send: checked before anything is computed or allocated from them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from backends.shapes import Mismatch

MAX_DIM = 2**31 - 1
MAX_ITEMS = 2**40
MAX_RANK = 32


def checked(shape: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The shape as a tuple, and its number of items. Mismatch where a size is no size, or all together too many."""
    sizes = tuple(shape)
    for size in sizes:
        if type(size) is not int:
            raise Mismatch(f"the shape {_shown(sizes)} holds {size!r}, which is no whole number")
        if not 0 <= size <= MAX_DIM:
            raise Mismatch(f"the shape {_shown(sizes)} holds {size}; sizes go from 0 to {MAX_DIM}")
    if len(sizes) > MAX_RANK:
        raise Mismatch(f"the shape has {len(sizes)} dims, more than {MAX_RANK}")
    items = prod(sizes)
    if items > MAX_ITEMS or prod(filter(None, sizes)) > MAX_ITEMS:
        raise Mismatch(f"the shape {_shown(sizes)} has more than {MAX_ITEMS} items")
    return sizes, items


def _shown(sizes: tuple[object, ...]) -> str:
    text = ", ".join(map(str, sizes[:8]))
    return f"[{text}, ..]" if len(sizes) > 8 else f"[{text}]"
