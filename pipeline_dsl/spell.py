"""Did you mean: the candidate that is nearest to a misspelt name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

MOST = 500
"""Candidates that are looked at; a text with more names than that is not worth the wait."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The closest candidate, or None if none is near; at most about half the letters may be wrong.

    Case and underscores do not count. Equal distances: the candidate given first. Where no candidate is near,
    one that shares all words of the shorter of both names will do: `ids` finds `input_ids`.
    """
    known = list(islice(candidates, MOST))
    return _by_letters(name, known) or _by_words(name, known)


def _by_letters(name: str, candidates: list[str]) -> str | None:
    wanted = _fold(name)
    limit = (len(wanted) + 1) // 2
    best: str | None = None
    for candidate in candidates:
        if candidate == name:
            continue
        distance = _distance(wanted, _fold(candidate), limit)
        if distance <= limit and distance < max(len(wanted), 1):
            best, limit = candidate, distance - 1
        if limit < 0:
            break
    return best


def _by_words(name: str, candidates: list[str]) -> str | None:
    words = set(name.lower().split("_")) - {""}
    for candidate in candidates:
        others = set(candidate.lower().split("_")) - {""}
        if candidate != name and words and others and (words <= others or others <= words):
            return candidate
    return None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """A ready label, or "" if nothing is near."""
    guess = nearest(name, candidates)
    return f"did you mean `{guess}`?" if guess is not None else ""


def _fold(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _distance(a: str, b: str, limit: int) -> int:
    """Edits between two words (insert, delete, replace, swap of neighbours); more than `limit` if above it."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    if limit == 0:
        return int(a != b)
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row = row, [i]
        for j, y in enumerate(b, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before = above
        if min(row) > limit:
            return limit + 1
    return row[-1]
