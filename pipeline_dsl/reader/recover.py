"""Going on after a mistake: the tokens of a declaration without the statement that can not be read.

Works on leaves, by brackets and newlines only; the statement is what stands between two line ends inside the same
braces. What is left has the same braces, so everything around it still means the same.
"""

from __future__ import annotations

from .leaves import NEWLINE, Leaf


def without_statement(leaves: list[Leaf], at: int) -> tuple[list[Leaf], int] | None:
    """The leaves without the statement around index `at`, and where it was; None if that is the declaration."""
    start = _start(leaves, min(at, len(leaves) - 1))
    if start == 0:
        return None
    end = _end(leaves, start)
    if end <= start:
        return None
    if end < len(leaves) and leaves[end].type == NEWLINE:
        end += 1
    return leaves[:start] + leaves[end:], start


def _start(leaves: list[Leaf], at: int) -> int:
    """Index of the first token of the statement that holds `at`."""
    if at > 0 and (leaves[at].type == NEWLINE or leaves[at].text == "}"):
        at -= 1
    if leaves[at].text == "{":
        if at == 0 or leaves[at - 1].type == NEWLINE or leaves[at - 1].text == "{":
            return at
        at -= 1
    depth = 0
    for i in range(at, -1, -1):
        text = leaves[i].text
        if text in ("}", ")", "]"):
            depth += 1
        elif text in ("{", "(", "["):
            if depth == 0 and text == "{":
                return i + 1
            depth = max(depth - 1, 0)
        elif leaves[i].type == NEWLINE and depth == 0:
            return i + 1
    return 0


def _end(leaves: list[Leaf], start: int) -> int:
    """Index behind the last token of the statement that starts at `start`."""
    depth = 0
    for i in range(start, len(leaves)):
        text = leaves[i].text
        if text in ("{", "(", "["):
            depth += 1
        elif text in ("}", ")", "]"):
            if depth == 0:
                return i
            depth -= 1
        elif leaves[i].type == NEWLINE and depth == 0:
            return i
    return len(leaves)
