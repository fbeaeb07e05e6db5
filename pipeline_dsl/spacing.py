"""Blanks between two tokens on one line: one table of rules for the formatter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

_TIGHT_BOTH = frozenset((".", "@"))
_TIGHT_BEFORE = frozenset((",", ":", ")", "]", "?"))
_TIGHT_AFTER = frozenset(("(", "[", "~"))
_VALUE_ENDS = frozenset(("NAME", "RPAR", "RSQB", "RBRACE"))
_ARITHMETIC = frozenset(("+", "-", "*", "/"))


_LITERALS = frozenset(("INT", "FLOAT", "STRING", "TEXT", "DURATION", "BYTES", "PERCENT", "TRUE", "FALSE", "NULL"))


class Word(NamedTuple):
    """A token on its line. `type` is its terminal, settled by the parser."""

    type: str
    text: str
    start: int

    @property
    def ends_value(self) -> bool:
        """Whether an operand ends here, so that a `-` behind it is an operator."""
        return self.type in _VALUE_ENDS or self.type in _LITERALS


def blank(left: Word, right: Word, before: Word | None, brackets: Sequence[str]) -> str:
    """The blank between two neighbours. `before` stands left of both; `brackets` are open around them.

    A bracket is written by its own text; `dims` is the `[` of a type.
    """
    inside = next((b for b in reversed(brackets) if b != "("), "")
    if left.text in _TIGHT_BOTH or right.text in _TIGHT_BOTH or left.text in _TIGHT_AFTER:
        return ""
    if left.text == "{" and right.text == "}":
        return ""
    if right.text in _TIGHT_BEFORE:
        return " " if left.text == "," and right.text in ("?", ":") else ""
    if inside == "[" and left.text == ":":
        return ""
    if inside == "dims" and (left.text in _ARITHMETIC or right.text in _ARITHMETIC) and left.text != ",":
        return ""
    if left.text == "-" and not (before is not None and before.ends_value):
        return ""
    if right.text in ("(", "["):
        return "" if left.ends_value and left.text != "}" else " "
    return " "
