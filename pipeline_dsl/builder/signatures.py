"""Signatures in Python: `sig(image=f32["*", 3]).to(label=i64["*"])`, and ports with defaults.

A `Signature` is made of the ports' names and types in the order they are written; stages may share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.source import Span

from .declared import Uses, merged
from .idents import ident
from .parts import MISSING, Part, part
from .places import Place, caller
from .texts import parsed_expression
from .types import Type, type_of


@dataclass(frozen=True, slots=True)
class Port:
    """A type with what else a port may have."""

    type: Type
    default: Any = MISSING
    doc: str = ""


def port(type_: Any, *, default: Any = MISSING, doc: str = "") -> Port:
    """A port with a default or documentation: `sig(k=port(i32, default=8, doc="how many"))`."""
    return Port(type_of(type_), default, doc)


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs of a stage."""

    tree: syntax.Signature
    uses: Uses = ()

    def to(self, **outputs: Any) -> Signature:
        """The same inputs with these outputs: `sig(x=f32["*"]).to(y=f32["*"])`."""
        ports, uses = ports_of(outputs, caller())
        span = caller().span
        return Signature(syntax.Signature(self.tree.inputs, ports, span=span), merged([self.uses, uses]))


def sig(**inputs: Any) -> Signature:
    """The inputs of a signature; `.to(..)` adds the outputs: `sig(image=f32["*", 3]).to(label=i64["*"])`."""
    place = caller()
    ports, uses = ports_of(inputs, place)
    return Signature(syntax.Signature(ports, (), span=place.span), uses)


def ports_of(types: Mapping[str, Any], place: Place) -> tuple[tuple[syntax.Port, ...], Uses]:
    """Ports by name, from types or `port(..)`."""
    made = [port_of(name, value, *place.entry(name)) for name, value in types.items()]
    return tuple(tree for tree, _ in made), merged(uses for _, uses in made)


def port_of(name: str, value: Any, name_span: Span, place: Place) -> tuple[syntax.Port, Uses]:
    """One port."""
    given = value if isinstance(value, Port) else Port(type_of(value))
    default = None if given.default is MISSING else part(given.default, place)
    named = ident(name, name_span)
    tree = syntax.Port(
        named,
        given.type.at(place.span),
        default.expr if default else None,
        given.doc,
        span=name_span,
    )
    return tree, merged([given.type.uses, default.uses if default else ()])


def bounds_of(where: Sequence[Any], place: Place) -> tuple[tuple[syntax.Expr, ...], Uses]:
    """Bounds on sizes, as texts (`"L <= 512"`) or expressions."""
    if isinstance(where, str):
        raise TypeError(f"`where` is a list of bounds: where=[{where!r}]")
    return _together([_bound(one, place.argument(i)) for i, one in enumerate(where)])


def _bound(one: Any, place: Place) -> Part:
    return parsed_expression(one, place.span) if isinstance(one, str) else part(one, place)


def _together(parts: Iterable[Part]) -> tuple[tuple[syntax.Expr, ...], Uses]:
    parts = list(parts)
    return tuple(p.expr for p in parts), merged(p.uses for p in parts)
