"""What may be written at a place: the text around a cursor and the names of an `Index` -> items, best first.

    text -> frames (brackets around the cursor) -> context (what is asked for) -> values, keys (items)

The words around the cursor are those of the text as it is now; names and types are those of the last version that was
indexed. Variables come from both: a line that does not parse yet hides none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline_dsl.index.index import Index
from pipeline_dsl.reader.layout import DECLARATIONS

from . import imports, keys, values
from .context import Context
from .context import context as context_of
from .frames import read
from .imports import Lister
from .items import Item, described

__all__ = ["Completion", "Item", "complete", "fits"]

MOST = 200
"""Items of one answer. Where there are more, the editor asks again when more letters are written."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Items, best first; and whether they are all there are."""

    items: tuple[Item, ...]
    whole: bool = True


def complete(
    index: Index, text: str, offset: int, start: int, lister: Lister | None = None, most: int = MOST
) -> Completion:
    """What may stand at an offset of a text. `start` is where a declaration begins, at or before the offset.

    `lister` shows folders, for paths of imports. Where there are more items than `most`, those that fit what is
    written so far."""
    context = context_of(read(text, start, offset))
    found = imports.paths(context, index, lister) if context.what == "path" else _MAKERS[context.what](index, context)
    unique: dict[str, Item] = {}
    for item in found:
        unique.setdefault(item.label, item)
    items = list(unique.values())
    whole = len(items) <= most
    if not whole:
        items = [item for item in items if fits(context.prefix, item.label)][:most]
    return Completion(tuple(described(item) for item in items), whole)


def fits(word: str, label: str) -> bool:
    """Whether a label has the letters of a word in this order, as editors choose."""
    rest = iter(label.lower())
    return all(letter in rest for letter in word.lower())


def _nothing(index: Index, context: Context) -> Iterator[Item]:
    return iter(())


def _words(index: Index, context: Context) -> Iterator[Item]:
    return (Item(word, "keyword") for word in context.words)


def _declaration(index: Index, context: Context) -> Iterator[Item]:
    return (Item(word, "keyword") for word in (*context.words, *sorted(DECLARATIONS)))


_MAKERS: dict[str, Callable[[Index, Context], Iterator[Item]]] = {
    "nothing": _nothing,
    "declaration": _declaration,
    "word": _words,
    "arm": _words,
    "statement": values.statement,
    "expression": values.expression,
    "argument": values.argument,
    "option": values.option,
    "member": values.member,
    "type": keys.type_,
    "dim": keys.dim,
    "selector": keys.selector,
    "setting": keys.setting,
    "value": keys.value,
    "profile": keys.profile,
    "stage": keys.stage,
    "backend": keys.backend,
    "imported": imports.imported,
    "placeholder": keys.placeholder,
}
