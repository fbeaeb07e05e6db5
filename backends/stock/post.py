"""Scores and token vectors: the stages of `@std/post.pipe`. Rows are independent, so all of them batch."""

from __future__ import annotations

from typing import Any

from backends.values import InvalidInput, Ragged

from .arrays import namespace

Array = Any
"""Of numpy or CuPy."""


def top1(*, scores: Array) -> tuple[Array, Array]:
    """f32[rows, C] -> i64[rows], f32[rows]."""
    _needs_classes(scores)
    return scores.argmax(axis=1), scores.max(axis=1)


def topk(*, scores: Array, k: int) -> tuple[Ragged, Ragged]:
    """f32[rows, C] -> two `Ragged` of min(k, C) a row. Equal scores keep the order of their classes."""
    _needs_classes(scores)
    if k < 1:
        raise InvalidInput(f"k is {k}, must be at least 1")
    xp = namespace(scores)
    order = xp.argsort(-scores, axis=1, kind="stable")[:, :k]
    lengths = xp.full(len(order), order.shape[1], xp.int64)
    best = xp.take_along_axis(scores, order, axis=1)
    return Ragged(padded=order.astype(xp.int64), lengths=lengths), Ragged(padded=best, lengths=lengths)


def softmax(*, logits: Array) -> Array:
    """f32[rows, C] -> the same, shifted by each row's largest so that nothing overflows."""
    _needs_classes(logits)
    xp = namespace(logits)
    powers = xp.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(*, logits: Array) -> Array:
    """f32[rows, C] -> the same. Through tanh, which does not overflow."""
    return namespace(logits).tanh(logits * 0.5) * 0.5 + 0.5


def mean_pool(*, hidden: Array, mask: Array) -> Array:
    """f32[rows, L, D], i64[rows, L] -> f32[rows, D]. Padding has mask 0, as a masked token has."""
    xp = namespace(hidden)
    real = (mask != 0)[..., None]
    count = xp.maximum(real.sum(axis=1), 1).astype(hidden.dtype)
    return xp.where(real, hidden, hidden.dtype.type(0)).sum(axis=1) / count


def l2(*, vec: Array) -> Array:
    """f32[rows, D] -> the same."""
    xp = namespace(vec)
    length = xp.linalg.norm(vec, axis=1, keepdims=True)
    return vec / xp.where(length == 0, length.dtype.type(1), length)


def _needs_classes(scores: Array) -> None:
    if scores.shape[1] == 0:
        raise InvalidInput("there are no classes: the second dim of the scores is 0")
