"""Python's cyclic garbage collector stands still while something is compiled.

A compilation makes many small objects that all stay alive and form next to no cycles. The collector would go through
all of them again and again: it is most of the time of a large file, and all of its growth beyond linear. What is no
longer referenced is freed at once either way.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused() -> Iterator[None]:
    """Pauses the collector, unless it already is; also usable as a decorator.

    Where several threads compile, the first to end lets it go on for all: never left paused, at worst slower."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
