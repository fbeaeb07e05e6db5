"""Line breaks that stand where the language has none, and the other way round.

`else {` under a `}` would be read as settings called `else`, and the mistake reported a line later. So the few
words this concerns are looked at before the newline is fed; the break is then repaired and parsing goes on.
"""

from __future__ import annotations

from pipeline_dsl.errors import Mistake
from pipeline_dsl.errors import syntax as mistakes
from pipeline_dsl.source import Span

from .leaves import NEWLINE, Leaf
from .stepper import Stepper

_TAILS = frozenset(("ELSE", "FALLBACK"))
_NEED_MORE = frozenset(("ELSE", "FALLBACK", "CASE"))
_ARMS = frozenset(("CASE", "ELSE"))


def wrong_break(parser: Stepper, leaves: list[Leaf], at: int) -> Mistake | None:
    """The mistake that the newline at an index is, if without it the text goes on well."""
    before, newline, following = leaves[at - 1], leaves[at], leaves[at + 1]
    if before.type in _NEED_MORE:
        return mistakes.LineEndsEarly(before.span, before.text)
    if following.word in _TAILS and before.type == "RBRACE":
        keyword = Leaf(following.word, following.text, following.span)
        if not parser.takes(newline, keyword) and parser.takes(keyword):
            return mistakes.WordOnNextLine(following.span, following.text, before.span)
    elif following.type == "LBRACE" and not parser.takes(newline, following) and parser.takes(following):
        return mistakes.BraceOnNextLine(following.span)
    return None


def missing_break(parser: Stepper, leaves: list[Leaf], at: int) -> Mistake | None:
    """The mistake of an arm of a `match` that does not start its line."""
    leaf = leaves[at]
    if leaf.word not in _ARMS or at == 0 or leaves[at - 1].type != "RBRACE":
        return None
    keyword = Leaf(leaf.word, leaf.text, leaf.span)
    if parser.takes(keyword) or not parser.takes(newline(leaf), keyword):
        return None
    return mistakes.ArmOnSameLine(leaf.span, leaf.text)


def newline(leaf: Leaf) -> Leaf:
    """A line break right before a leaf."""
    start = leaf.span.start
    return Leaf(NEWLINE, "\n", Span(leaf.span.source, start, start))
