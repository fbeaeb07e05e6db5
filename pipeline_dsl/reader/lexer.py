"""Text to lexemes: what the parser and the formatter both read.

Takes any text, gives every lexeme of it but blanks, in order and never fails: what can not be a token comes as
one of the `BAD_*` kinds. Knows nothing of keywords; they are names until the grammar asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from pipeline_dsl.source import BOM

PATTERN = re.compile(
    r"""
    (?P<BLANK>[ \t\f\r]+)
  | (?P<NAME>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<NEWLINE>\n)
  | (?P<COMMENT>\#[^\n]*)
  | (?P<TEXT>\"\"\"(?s:[^\\]|\\.)*?\"\"\")
  | (?P<BAD_TEXT>\"\"\")
  | (?P<STRING>"(?:[^"\\\n]|\\.)*")
  | (?P<BAD_STRING>"[^\n]*)
  | (?P<DURATION>[0-9]+(?:\.[0-9]+)?(?:us|ms|s|min|h)\b)
  | (?P<BYTES>[0-9]+(?:\.[0-9]+)?(?:KiB|MiB|GiB|TiB|KB|MB|GB|TB|B)\b)
  | (?P<PERCENT>[0-9]+(?:\.[0-9]+)?%)
  | (?P<FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
  | (?P<INT>[0-9]+)
  | (?P<OP>\.\.\.|->|\?\?|[=!<>]=|[-+*/%=<>?.,:@~(){}\[\]])
  | (?P<BAD_QUOTES>'[^'\n]*')
  | (?P<BAD>(?P<odd>.)(?:(?P=odd)|[^\x00-\x7f])*)
    """,
    re.VERBOSE,
)
"""Every lexeme; the grammars of editors are made from its parts."""


class Lexeme(NamedTuple):
    """`kind` is a terminal of the grammar, or OP, NEWLINE, COMMENT, or one of BAD, BAD_QUOTES, BAD_STRING, BAD_TEXT."""

    kind: str
    text: str
    start: int
    end: int


def lexemes(text: str) -> Iterator[Lexeme]:
    """All lexemes but blanks. A text block that is not closed takes the rest of the text."""
    position = len(BOM) if text.startswith(BOM) else 0
    for match in PATTERN.finditer(text, position):
        kind = match.lastgroup
        if kind == "BLANK" or kind is None:
            continue
        start, end = match.span()
        if kind == "BAD_TEXT":
            yield Lexeme(kind, text[start:], start, len(text))
            return
        yield Lexeme(kind, match.group(), start, end)
