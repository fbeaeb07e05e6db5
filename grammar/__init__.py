"""The language: the Lark grammar of edition 1 as data, and its reference."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

EDITION = 1
"""Newest language edition this package describes."""


@cache
def text() -> str:
    """The grammar as Lark source (LALR(1), contextual lexer)."""
    return files(__name__).joinpath("pipe.lark").read_text(encoding="utf-8")
