"""Streams for service.pipe."""

import itertools
from collections.abc import Iterator


def count(*, n: int) -> Iterator[int]:
    yield from range(n)


def chatter(*, n: int) -> Iterator[str]:
    for i in itertools.count(n):
        yield f"{i} " * 200
