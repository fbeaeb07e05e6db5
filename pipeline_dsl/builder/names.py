"""Consts, params, type aliases and imports in Python.

A const or param is a value that goes by its name: in expressions, in dims (`f32["*", DIM]`), and in strings as
`${NAME}` where the Python variable has the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.source import Span

from .calls import Result, call
from .declared import Declared, Fixed, merged
from .idents import ident
from .parts import MISSING, Part, part
from .places import Place, caller
from .settings import block_of
from .types import Type, named, type_of
from .values import Value


class Fixture(Value):
    """A const or a param: `THRESHOLD = pp.param("THRESHOLD", f32, 0.9)`."""

    __slots__ = ("__name__", "_declared")

    def __init__(self, name: str, declared: Declared, span: Span) -> None:
        super().__init__(Part(syntax.Name(name, span=span), (declared,)))
        self.__name__ = name
        self._declared = declared

    def __declared__(self) -> Declared:
        return self._declared

    def __format__(self, spec: str) -> str:
        return f"${{{self.__name__}}}"


def const(name: str, value: Any, type: Any = None, *, doc: str = "") -> Fixture:
    """A value that is fixed when the pipeline is compiled: `DIM = pp.const("DIM", 384)`."""
    place = caller()
    made = part(value, place.argument(1))
    kind = None if type is None else type_of(type)
    own = ident(name, place.argument(0).span)
    tree = syntax.Const(own, kind.at(place.span) if kind else None, made.expr, doc, span=place.span)
    return Fixture(name, Fixed(tree, merged([made.uses, kind.uses if kind else ()])), own.span)


def param(
    name: str,
    type: Any,
    default: Any = MISSING,
    *,
    min: Any = None,  # noqa: A002 - the word of the text
    max: Any = None,  # noqa: A002 - the word of the text
    oneof: Sequence[Any] | None = None,
    doc: str = "",
) -> Fixture:
    """A value that may be set from outside: `CANARY = pp.param("CANARY", percent, pp.percent(10), max=pp.percent(50))`.

    Without a default it has to be set. min, max, oneof: what it may be."""
    place = caller()
    kind = type_of(type)
    made = None if default is MISSING else part(default, place.argument(2))
    limits = {key: value for key, value in (("min", min), ("max", max), ("oneof", oneof)) if value is not None}
    constraints, uses = block_of(limits, place, ())
    own = ident(name, place.argument(0).span)
    tree = syntax.Param(
        own,
        kind.at(place.argument(1).span),
        made.expr if made else None,
        constraints,
        doc,
        span=place.span,
    )
    return Fixture(name, Fixed(tree, merged([kind.uses, made.uses if made else (), uses])), own.span)


def type_alias(name: str, type: Any, *, doc: str = "") -> Type:
    """A short name for a type: `Image = pp.type_alias("Image", u8["H", "W", 3])`."""
    place = caller()
    kind = type_of(type)
    own = ident(name, place.argument(0).span)
    tree = syntax.TypeAlias(own, kind.at(place.argument(1).span), doc, span=place.span)
    return named((name,), uses=(Fixed(tree, kind.uses),))


class Imported(Value):
    """A name of another module: a stage or pipeline to call, a type, a const.

    emb = pp.import_("embed.pipe", "emb")
    vectors = emb.embed(text)"""

    __slots__ = ("__names__", "_declared")

    def __init__(self, names: tuple[str, ...], declared: Declared, span: Span) -> None:
        expr: syntax.Expr = syntax.Name(names[0], span=span)
        for name in names[1:]:
            expr = syntax.Member(expr, syntax.Ident(name, span=span), span=span)
        super().__init__(Part(expr, (declared,)))
        self.__names__ = names
        self._declared = declared

    def __getattr__(self, name: str) -> Imported:
        if name.startswith("_"):
            raise AttributeError(name)
        return Imported((*self.__names__, name), self._declared, caller().span)

    def __call__(self, *args: Any, **ports: Any) -> Result:
        """A node that runs the stage or pipeline of this name."""
        return call(self._part.expr, (self._declared,), f"`{'.'.join(self.__names__)}`", args, ports)

    def __type__(self) -> Type:
        return named(self.__names__, uses=(self._declared,))

    def __declared__(self) -> Declared:
        return self._declared


def import_(path: str, name: str) -> Imported:
    """Another file under a name: `emb = pp.import_("embed.pipe", "emb")`, then `emb.embed(text)`."""
    place = caller()
    path_span, name_span = place.argument(0).span, place.argument(1).span
    tree = syntax.Import(path, path_span, ident(name, name_span), span=place.span)
    return Imported((name,), Fixed(tree), name_span)


def from_import(path: str, *names: str) -> tuple[Imported, ...]:
    """Names of another file: `decode, Pic = pp.from_import("vision.pipe", "decode", "Image as Pic")`."""
    if not names:
        raise TypeError(f'nothing to import from {path!r}: pp.from_import("x.pipe", "name")')
    place = caller()
    items = tuple(_item(name, place.argument(i + 1)) for i, name in enumerate(names))
    tree = syntax.FromImport(path, place.argument(0).span, items, span=place.span)
    declared = Fixed(tree)
    known = [item.alias or item.name for item in items]
    return tuple(Imported((one.text,), declared, one.span) for one in known)


def _item(text: str, place: Place) -> syntax.ImportItem:
    name, _, alias = (word.strip() for word in text.partition(" as "))
    renamed = ident(alias, place.span) if alias else None
    return syntax.ImportItem(ident(name, place.span), renamed, span=place.span)
