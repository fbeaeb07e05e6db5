"""The python stages of stream.pipe: a generator of words, and something that looks at each."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pydoc_data.topics import topics as DOCUMENTATION

import numpy as np

from pipectl import InvalidInput

LONGEST = 10_000


def words(topics: list[str]) -> list[str]:
    """The prose of some chapters of Python's own documentation; code is left out."""
    lines = [line for topic in topics if topic in DOCUMENTATION for line in DOCUMENTATION[topic].splitlines()]
    prose = " ".join(line for line in lines if not line.startswith("      "))
    return re.findall(r"[A-Za-z][a-z'-]*[.,]?", prose)


class Writer:
    """Knows which words followed each pair of words, and draws from them."""

    def __init__(self, *, topics: list[str]) -> None:
        text = words(topics or list(DOCUMENTATION))
        self.followers: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for first, second, third in zip(text, text[1:], text[2:]):
            self.followers[first, second].append(third)
            self.followers[(second,)].append(third)

    def __call__(self, *, start: str, most: int, seed: int) -> Iterator[str]:
        """Words one by one; what it returns at its end is `finish`. It is advanced only as far as somebody reads."""
        if not 0 < most <= LONGEST:
            raise InvalidInput(f"`most` is {most}, must be 1 to {LONGEST}")
        draw = random.Random(seed)
        before = tuple(start.split()[-2:])
        for _ in range(most):
            found = self.followers.get(before) or self.followers.get(before[-1:]) or self.followers["the",]
            word = draw.choice(found)
            yield word
            if word.endswith("."):
                return "stop"
            before = (*before, word)[-2:]
        return "length"


def count(*, text: np.ndarray) -> list[int]:
    """Letters of each word."""
    return [sum(map(str.isalpha, word)) for word in text]
