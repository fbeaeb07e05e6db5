"""What people most likely meant: advice for a token that does not fit, by its neighbours."""

from __future__ import annotations

from pipeline_dsl import literals
from pipeline_dsl.errors import syntax as mistakes
from pipeline_dsl.spell import nearest

from .layout import DECLARATIONS
from .leaves import NEWLINE, Leaf
from .reserved import RESERVED

_NUMBERS = frozenset(("INT", "FLOAT", "DURATION", "BYTES"))
_STARTS = frozenset((NEWLINE, "LBRACE"))
_CONSTRUCTS = frozenset(("if", "match", "map", "route", "try"))
_OPERATORS = frozenset(("EQUAL", "PLUS", "MINUS", "BATCH", "SLASH", "CMP", "AND", "OR", "NOT"))


def reserved_word(leaves: list[Leaf], at: int) -> mistakes.Reserved | None:
    """A statement like `yield = x`, whose first word can not be a variable."""
    if not 0 < at < len(leaves) or leaves[at].type not in ("EQUAL", "COMMA"):
        return None
    word = leaves[at - 1]
    starts = at >= 2 and leaves[at - 2].type in _STARTS
    if not starts or word.text not in RESERVED or leaves[at].type != "EQUAL":
        return None
    return mistakes.Reserved(word.span, word.text, "a variable")


def is_misplaced_word(leaves: list[Leaf], at: int) -> bool:
    """A reserved word that was read as a value because something above it is missing: `x = a +` and `return b`."""
    if not 0 < at < len(leaves):
        return False
    word, before = leaves[at], leaves[at - 1]
    return word.type == "NAME" and word.text in RESERVED and before.type in _OPERATORS


def construct(word: Leaf) -> str:
    """Where the word of a construct may stand; "" for any other."""
    if word.text not in _CONSTRUCTS:
        return ""
    return f"`{word.text}` gives values to names: write `x = {word.text} ..` as a statement of its own"


def advice(leaves: list[Leaf], at: int, accepted: set[str]) -> str:
    """A sentence that helps, or ""."""
    leaf = leaves[at] if at < len(leaves) else None
    before = leaves[at - 1] if 0 < at <= len(leaves) else None
    if leaf is None:
        return _end(accepted)
    if before is None:
        return _start(leaf, accepted)
    return (
        _unit(before, leaf)
        or _percent(before, leaf)
        or _equals(leaf, accepted)
        or _misplaced(leaves, at, accepted)
        or _call(leaves, at)
        or _keyword(before, leaf)
        or _comment(before, leaf)
        or _start(leaf, accepted)
    )


def _end(accepted: set[str]) -> str:
    """A declaration that stops too early."""
    return 'say what runs the stage: `using python("module:function")`' if "USING" in accepted else ""


def _adjacent(before: Leaf, leaf: Leaf) -> bool:
    return before.span.end == leaf.span.start


def _unit(before: Leaf, leaf: Leaf) -> str:
    if leaf.type != "NAME" or before.type not in _NUMBERS or not _adjacent(before, leaf):
        return ""
    guess = nearest(leaf.text, [*literals.DURATIONS, *literals.SIZES])
    meant = f"; did you mean `{before.text}{guess}`?" if guess else ""
    return f"`{leaf.text}` is no unit{meant} Units are us ms s min h, B KB MB GB TB, KiB MiB GiB TiB and %"


def _percent(before: Leaf, leaf: Leaf) -> str:
    if before.type != "PERCENT" or leaf.type not in ("INT", "NAME", "LPAR"):
        return ""
    return f"`{before.text}` is a percentage; for the remainder write `{before.text[:-1]} % {leaf.text}`"


def _equals(leaf: Leaf, accepted: set[str]) -> str:
    if leaf.type == "EQUAL" and "CMP" in accepted:
        return "`==` compares"
    if leaf.type == "COLON" and "EQUAL" in accepted:
        return "write `=`"
    if leaf.type == "EQUAL" and accepted == {"COLON"}:
        return "write `:`"
    return ""


def _misplaced(leaves: list[Leaf], at: int, accepted: set[str]) -> str:
    """`if c { .. }` without a name for its values, or inside an expression."""
    named = at >= 2 and leaves[at - 2].type == "EQUAL"
    if "STAGE" in accepted:
        return ""
    return ("" if named else construct(leaves[at - 1])) or construct(leaves[at])


def _call(leaves: list[Leaf], at: int) -> str:
    """`f(x)` as a statement."""
    if leaves[at].type != "LPAR" or at < 2 or leaves[at - 2].type not in _STARTS:
        return ""
    return f"the result of a call needs a name: `_ = {leaves[at - 1].text}(..)`"


def _keyword(before: Leaf, leaf: Leaf) -> str:
    if leaf.type != NEWLINE or before.type != before.word or before.text not in RESERVED:
        return ""
    if before.text in ("return", "yield"):
        return f"say what it gives: `{before.text} x`, or by name `{before.text} x = ..`"
    return f"`{before.text}` is a word of the language; a variable needs another name"


def _comment(before: Leaf, leaf: Leaf) -> str:
    return "comments start with `#`" if before.text == leaf.text == "/" and _adjacent(before, leaf) else ""


def _start(leaf: Leaf, accepted: set[str]) -> str:
    """A misspelt first word of a declaration."""
    if leaf.type != "NAME" or "STAGE" not in accepted:
        return ""
    guess = nearest(leaf.text, sorted(DECLARATIONS))
    return f"did you mean `{guess}`?" if guess else ""
