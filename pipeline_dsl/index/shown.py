"""Types and values as an editor shows them: short, with the origin of each size beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline_dsl.check.regions import Outcome, Results, Value
from pipeline_dsl.literals import spelled
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Sized, TensorType

_LONGEST = 60
"""Characters of a known value that are shown."""


def types_of(outcome: Outcome) -> list[tuple[str, TensorType]]:
    """The type of a value under the name "", or those of a call's outputs by port."""
    if isinstance(outcome, Value):
        return [("", outcome.type)]
    return [(port, value.type) for port, value in outcome.values] if isinstance(outcome, Results) else []


def short(types: Iterable[TensorType]) -> tuple[list[str], list[str]]:
    """The types with their sizes' names only, and a line for each size that comes from a call.

    Two sizes of one name keep their origins in the type: `N of detect, line 19`."""
    given = list(types)
    symbols = {s for t in given for s in _symbols(t)}
    names = [s.name for s in symbols]
    plain = {s: Size.of(s.name) for s in symbols if s.origin and names.count(s.name) == 1}
    texts = [str(t.with_dims(tuple(_renamed(d, plain) for d in t.dims))) for t in given]
    return texts, [f"`{s.name}` comes from {s.origin}" for s in sorted(plain, key=str)]


def _symbols(kind: TensorType) -> Iterator[Symbol]:
    for dim in kind.dims:
        if isinstance(dim, Sized | Ragged):
            yield from dim.size.symbols


def _renamed(dim: Dim, names: dict[Symbol, Size]) -> Dim:
    if isinstance(dim, Sized):
        return Sized(dim.size.substitute(names))
    return Ragged(dim.size.substitute(names)) if isinstance(dim, Ragged) else dim


def known(outcome: Outcome) -> str:
    """` = 384` for a value that is known when the file is compiled, if it is short."""
    if not isinstance(outcome, Value) or not outcome.typed.known:
        return ""
    text = spelled(outcome.typed.value, outcome.type)
    return f" = {text}" if len(text) <= _LONGEST and "\n" not in text else ""


def inline(outcome: Outcome) -> str:
    """One line for a hint: `i64[*, ~L]`, or `(ids: .., mask: ..)` for a call with several outputs."""
    found = types_of(outcome)
    texts, _ = short(kind for _, kind in found)
    if len(found) == 1:
        return texts[0]
    return "(" + ", ".join(f"{port}: {text}" for (port, _), text in zip(found, texts)) + ")" if found else ""
