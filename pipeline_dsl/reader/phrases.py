"""What the parser would have taken, in words: sets of terminals to "an expression", "`,` or `)`"."""

from __future__ import annotations

from . import tables
from .leaves import NEWLINE, Leaf

END = "$END"

_BINARY = frozenset(("PLUS", "MINUS", "BATCH", "SLASH", "CMP", "AND", "OR"))
_WHOLE: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset(("STAGE", "PIPELINE", "PROFILE")), "a declaration"),
    (frozenset(("RETURN", "YIELD")), "a statement"),
    (frozenset(("NAME", "INT", "STRING", "FLOAT")), "an expression"),
    (frozenset(("TILDE", "BATCH", "OPT")), "a size"),
    (frozenset(("NAME", "STREAM")), "a type"),
    (frozenset(("NAME", "INT", "STRING")), "a version"),
    (frozenset(("NAME", "INT", "LPAR")), "a size"),
    (frozenset(("NAME", "STRING")), "a setting"),
)
"""The first set that is accepted as a whole names what was expected."""
_NAMED = {"NAME": "a name", "STRING": "a string", "INT": "a whole number", NEWLINE: "the end of the line"}
_SHOWN = 4


def expected(accepted: set[str], at_end: bool = False) -> str:
    """A phrase for the terminals a parser accepts; `at_end`: nothing follows."""
    for terminals, phrase in _WHOLE:
        if terminals <= accepted:
            return phrase
    rest = set(accepted)
    if _BINARY & rest and {"DOT", "LPAR", "PLUS"} & rest:
        rest -= _BINARY | {"DOT", "LPAR", "LSQB", "WITH", "AT", tables.operators()["%"], tables.operators()["??"]}
    rest = _short(rest, at_end)
    if not rest:
        return "an operator"
    return _listed(sorted(_phrase(t) for t in rest))


def found(leaf: Leaf | None, last: bool) -> str:
    """A phrase for the token at fault; None is the end of the declaration, or of the file if `last`."""
    if leaf is None:
        return "the end of the file" if last else "the end of the declaration"
    if leaf.type == NEWLINE:
        return "the end of the line"
    if leaf.text.startswith('"'):
        return "a string"
    return f"`{leaf.text}`" if len(leaf.text) <= 40 else f"`{leaf.text[:37]}...`"


def _short(accepted: set[str], at_end: bool) -> set[str]:
    """Without what is possible but never the point."""
    if at_end:
        return (accepted - {NEWLINE, END}) or accepted
    if NEWLINE in accepted:
        accepted = accepted - {END, "RBRACE"}
    return (accepted - {"DOT", "AT"}) or accepted


def _phrase(terminal: str) -> str:
    if terminal == END:
        return "the end of the file"
    return _NAMED.get(terminal) or f"`{tables.spellings().get(terminal, terminal.lower())}`"


def _listed(phrases: list[str]) -> str:
    shown = phrases[:_SHOWN]
    if len(shown) == 1:
        return shown[0]
    return ", ".join(shown[:-1]) + " or " + shown[-1]
