"""Tokens as the grammar sees them: terminal, place, decoded value, documentation."""

from __future__ import annotations

from pipeline_dsl.source import Span


class Leaf:
    """One token fed to the parser, and what the tree is built from.

    `type` is the terminal; for a word it is settled when it is fed, since keywords are contextual: `word` is the
    keyword it could be. `value` is decoded. `doc` is the text of the `##` lines above it.
    """

    __slots__ = ("doc", "span", "text", "type", "value", "word")

    def __init__(
        self,
        type: str,
        text: str,
        span: Span,
        value: int | float | str | None = None,
        word: str = "",
        doc: str = "",
    ) -> None:
        self.type = type
        self.text = text
        self.span = span
        self.value = value
        self.word = word
        self.doc = doc

    def __repr__(self) -> str:
        return f"Leaf({self.type}, {self.text!r})"


NEWLINE = "_NL"
OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
"""Terminal of each opening bracket -> of its closing one."""
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
