"""Whether a value may stand in a declared place (an annotation, an output), and the mistakes that say why not.

A constant is brought to the declared dtype. Other values keep their own type: an annotation is checked, not
trusted; the names in it are bound to the value's sizes for the rest of the body.
"""

from __future__ import annotations

from dataclasses import replace

from pipeline_dsl.errors import Mistake
from pipeline_dsl.errors.signatures import DeclaredMismatch
from pipeline_dsl.errors.streams import PlainToStream, StreamToPlain
from pipeline_dsl.errors.types import (
    DtypeMismatch,
    Edge,
    MayBeAbsent,
    RankMismatch,
    SizeMismatch,
    Unchecked,
    UnprovenSizes,
)
from pipeline_dsl.operations import Problem, fit
from pipeline_dsl.source import Span
from pipeline_dsl.types import Rows, TensorType

from .body import Body, constant
from .regions import Value
from .unify import Mismatch, align, kind_mismatch, unify


def fitted(body: Body, value: Value, declared: TensorType, needs: str, span: Span, place: Span) -> Value | None:
    """The value as it may stand in a place of a declared type; None after the mistake is reported.

    needs: the place in words. span: where the value is handed over. place: where the type is written.
    """
    if value.typed.known:
        return _fitted_constant(body, value, declared, needs, span, place)
    edge = edge_of(value, declared, needs, span, place)
    mismatch = kind_mismatch(declared, value.type)
    if mismatch is not None:
        body.report(kind_mistake(mismatch.code, edge, declared, value.type))
        return None
    aligned = align(declared.dims, value.type.dims)
    if aligned is None:
        body.report(rank_mistake(edge, declared, value.type))
        return None
    mismatch, unchecked = unify(aligned.pairs, body.names, widen=False)
    if mismatch is not None:
        body.report(size_mistake(mismatch, edge))
        return None
    if unchecked or aligned.unchecked:
        body.report(Unchecked(edge))
    return value


def _fitted_constant(
    body: Body, value: Value, declared: TensorType, needs: str, span: Span, place: Span
) -> Value | None:
    if declared.stream != value.type.stream:
        code = "E0701" if value.type.stream else "E0702"
        edge = edge_of(value, declared, needs, span, place)
        body.report(kind_mistake(code, edge, declared, value.type))
        return None
    result = fit(value.typed, declared)
    if isinstance(result, Problem):
        body.report(DeclaredMismatch(span, f"{needs}: {result.text}", place, result.help))
        return None
    return replace(constant(result, value.span), name=value.name)


def edge_of(value: Value, declared: TensorType, needs: str, span: Span, place: Span | None) -> Edge:
    """Both ends of where a value meets a declared type."""
    return Edge(span, value.shown, str(value.type), needs, str(declared), value.span, place)


def kind_mistake(code: str, edge: Edge, declared: TensorType, found: TensorType) -> Mistake:
    """E0701, E0702, E0309 or E0302."""
    if code in ("E0701", "E0702"):
        return StreamToPlain(edge) if code == "E0701" else PlainToStream(edge)
    if code == "E0309":
        return MayBeAbsent(edge)
    dtype = declared.dtype
    castable = dtype.numeric and (found.dtype.numeric or (found.dtype.name in ("string", "json") and not found.dims))
    return DtypeMismatch(edge, dtype.name, castable=castable)


def rank_mistake(edge: Edge, declared: TensorType, found: TensorType) -> Mistake:
    """E0304; says so if exactly the first dim is too much or missing."""
    wanted = declared.rank
    have = len(found.dims)
    if wanted is None:
        least = len(declared.dims) - 1
        missing = declared.has_rows and have == least - 1
        return RankMismatch(edge, f"at least {_dims(least)}", have, missing_axis=missing)
    return RankMismatch(edge, _dims(wanted), have, extra_axis=have == wanted + 1 and not declared.has_rows)


def call_rank_mistake(edge: Edge, port: TensorType, found: TensorType) -> Mistake:
    """E0304 at a port with `*`, where one dim less is one row."""
    if not port.has_rows or port.rank is None or isinstance((found.dims or (None,))[0], Rows):
        return rank_mistake(edge, port, found)
    return RankMismatch(edge, f"{_dims(port.rank)}, or {port.rank - 1} for one row", len(found.dims))


def _dims(count: int) -> str:
    return "1 dim" if count == 1 else f"{count} dims"


def size_mistake(mismatch: Mismatch, edge: Edge, other: Span | None = None, other_name: str = "") -> Mistake:
    """E0301 or E0303."""
    if mismatch.code == "E0303":
        return UnprovenSizes(edge, mismatch.dim + 1, mismatch.expected, mismatch.found, other, other_name)
    return SizeMismatch(edge, mismatch.dim + 1, mismatch.expected, mismatch.found)
