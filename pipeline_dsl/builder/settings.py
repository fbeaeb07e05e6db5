"""Settings in Python: keyword arguments to the items of a block.

A dict is a block of its own. Where the language's table says that a key takes words, a string is the word:
`device="cpu"`, `effects="once"`. Keys with dots are one key; numbers are keys by their digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.literals import is_name
from pipeline_dsl.settings import KeySpec, tree
from pipeline_dsl.settings import Place as Table
from pipeline_dsl.source import Span

from .declared import Uses, merged
from .parts import MISSING, Part, bare, part
from .places import Place, caller
from .types import Type, type_of

Item = syntax.Setting | syntax.Nested | syntax.State


@dataclass(frozen=True, slots=True)
class State:
    """A tensor that a sequence keeps."""

    type: Type
    init: Any
    tensors: tuple[str, str] | None


def state(type_: Any, init: Any = MISSING, *, tensors: tuple[str, str] | None = None) -> State:
    """What a sequence keeps: `state=dict(h=pp.state(f32[2, 64], pp.zeros(), tensors=("h0", "hn")))`."""
    return State(type_of(type_), init, tensors)


def items_of(given: Mapping[Any, Any], place: Place, tables: tuple[Table, ...]) -> tuple[tuple[Item, ...], Uses]:
    """The items of a block."""
    found = [_item(key, value, place, tables, ()) for key, value in given.items()]
    return tuple(i for items, _ in found for i in items), merged(uses for _, uses in found)


def block_of(given: Mapping[Any, Any], place: Place, tables: tuple[Table, ...]) -> tuple[syntax.Block | None, Uses]:
    """A block; None without items."""
    items, uses = items_of(given, place, tables)
    return (syntax.Block(items, span=place.span) if given else None), uses


def setting_part(value: Any, spec: KeySpec | None, place: Place) -> Part:
    """The value of a key: a string that is a word of its table becomes one."""
    if isinstance(value, str) and spec is not None and (value in spec.words or _only_words(value, spec)):
        return Part(bare(value, place.span))
    return part(value, place)


def key_of(name: Any, span: Span) -> syntax.Key:
    """`a.b` is a key of two parts; anything that is no name stands as it is, and so do the parts of a tuple."""
    if isinstance(name, tuple):
        return syntax.Key(tuple(map(str, name)), span=span)
    parts = tuple(str(name).split("."))
    return syntax.Key(parts if all(map(is_name, parts)) else (str(name),), span=span)


def _only_words(value: str, spec: KeySpec) -> bool:
    return spec.kind == "word" and is_name(value)


def _item(
    name: Any, value: Any, place: Place, tables: tuple[Table, ...], outer: tuple[str, ...]
) -> tuple[tuple[Item, ...], Uses]:
    span, where = place.entry(str(name))
    if name == "state" and "contract" in tables and not outer and isinstance(value, Mapping):
        made = [_state(key, one, *where.entry(str(key))) for key, one in value.items()]
        return tuple(item for item, _ in made), merged(uses for _, uses in made)
    key = key_of(name, span)
    path = (*outer, *key.parts)
    if isinstance(value, Mapping):
        found = [_item(inner, one, where, tables, path) for inner, one in value.items()]
        block = syntax.Block(tuple(i for items, _ in found for i in items), span=where.span)
        return (syntax.Nested(key, None, block, span=span),), merged(uses for _, uses in found)
    made_part = setting_part(value, _spec(path, tables), where)
    return (syntax.Setting(key, made_part.expr, span=span),), made_part.uses


def _state(name: Any, value: Any, span: Span, place: Place) -> tuple[Item, Uses]:
    if not isinstance(value, State):
        raise TypeError(f"the state `{name}` is made by `pp.state(type, init)`, found {value!r:.60}")
    init = None if value.init is MISSING else part(value.init, place)
    ends = value.tensors or (None, None)
    ident = syntax.Ident(str(name), span=span)
    item = syntax.State(ident, value.type.at(place.span), init.expr if init else None, *ends, span=caller().span)
    return item, merged([value.type.uses, init.uses if init else ()])


def _spec(path: tuple[str, ...], tables: tuple[Table, ...]) -> KeySpec | None:
    for table in tables:
        found = tree(table).find(path)
        if isinstance(found, KeySpec):
            return found
    return None
