"""One run of the LALR parser, fed leaf by leaf: the only place that touches Lark's interactive parser."""

from __future__ import annotations

from copy import copy
from typing import Any, cast

from lark import UnexpectedToken

from . import tables
from .leaves import Leaf
from .transform import Parsed


class Stepper:
    """A parser between two tokens. After it refused one, only `accepted` may be asked."""

    __slots__ = ("_parser",)

    def __init__(self) -> None:
        self._parser: Any = tables.load().parse_interactive("")

    def settle(self, leaf: Leaf) -> None:
        """Decides whether a word is a keyword here: it is where the grammar has a use for it."""
        leaf.type = leaf.word if leaf.word in self._parser.choices() else "NAME"

    def feed(self, leaf: Leaf) -> bool:
        """Takes a leaf; False if it does not fit."""
        try:
            self._parser.feed_token(leaf)
        except UnexpectedToken:
            return False
        return True

    def finish(self) -> Parsed | None:
        """The tree, or None if the text may not end here."""
        try:
            return cast("Parsed", self._parser.feed_eof())
        except UnexpectedToken:
            return None

    def accepted(self) -> set[str]:
        """The terminals that fit here."""
        return set(self._parser.accepts())

    def takes(self, *leaves: Leaf) -> bool:
        """Whether these leaves would fit, one after another."""
        state = self._parser.parser_state.copy(deepcopy_values=False)
        state.parse_conf = copy(state.parse_conf)
        state.parse_conf.callbacks = {}  # values are shared with this parser: make none
        try:
            for leaf in leaves:
                state.feed_token(leaf)
        except UnexpectedToken:
            return False
        return True
