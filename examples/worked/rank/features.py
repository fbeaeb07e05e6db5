"""What a ranker is told of a user and an item: the words they share, by bucket."""

import re
import zlib

import numpy as np

BUCKETS = 64


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}


def bucket(word: str) -> int:
    """The same in every process, unlike Python's own hash."""
    return zlib.crc32(word.encode()) % BUCKETS


def build(*, user: str, item: np.ndarray) -> np.ndarray:
    """f32[M, 64]; `user` is what somebody is interested in, in words."""
    wanted = words(user)
    x = np.zeros((len(item), BUCKETS), np.float32)
    for row, text in zip(x, item):
        for word in words(text) & wanted:
            row[bucket(word)] += 1
    return x
