"""Putting declarations in order: each after what it needs; cycles are found and named."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """`items` in order, those of cycles left out; each cycle from one member round to the one before it."""

    items: tuple[T, ...]
    cycles: tuple[tuple[T, ...], ...]


def in_order(items: Iterable[T], needs: Callable[[T], Iterable[T]]) -> Order[T]:
    """Depth first without recursion, in time linear in items and needs."""
    done: dict[T, None] = {}
    cycles: list[tuple[T, ...]] = []
    broken: set[T] = set()
    for item in items:
        if item not in done and item not in broken:
            _visit(item, needs, done, cycles, broken)
    return Order(tuple(done), tuple(cycles))


def _visit(
    start: T,
    needs: Callable[[T], Iterable[T]],
    done: dict[T, None],
    cycles: list[tuple[T, ...]],
    broken: set[T],
) -> None:
    path: dict[T, None] = {start: None}
    stack = [iter(tuple(needs(start)))]
    while stack:
        for item in stack[-1]:
            if item in path:
                chain = list(path)
                cycle = tuple(chain[chain.index(item) :])
                cycles.append(cycle)
                broken.update(cycle)
            elif item not in done and item not in broken:
                path[item] = None
                stack.append(iter(tuple(needs(item))))
                break
        else:
            stack.pop()
            last, _ = path.popitem()
            if last not in broken:
                done[last] = None
