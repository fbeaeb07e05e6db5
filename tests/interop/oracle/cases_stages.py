"""The python stages of cases.pipe. No type of theirs is left out of what Triton and pipectl are compared on."""

import numpy as np


def scale(*, x, factor):
    return x * np.float32(factor)


def total(*, x):
    sums = x.sum(axis=1)
    return sums, sums > 0


def offset(*, y, by):
    return y + by[:, None]


def shout(*, text):
    return text.upper() + "!", len(text)


def words(*, text):
    return len(text.split())


def describe(*, blob, facts):
    return {"bytes": len(blob), "keys": sorted(facts), "umlaut": "ä"}, blob[0]


def gram(*, m):
    return m.T @ m


def shift(*, x, by):
    if (x < 0).any():
        raise ValueError("x is negative")
    return x if by is None else x + by


def bits(*, flag, small, half):
    return (half + flag).astype(np.float16), (small.astype(np.int64) ** 2).astype(np.uint64)
