"""Random syntax trees: `modules()` gives any module that text can spell, whether it makes sense or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

from pipeline_dsl import literals
from pipeline_dsl.source import Source, Span
from pipeline_dsl.syntax import (
    AnyDim,
    Argument,
    Assign,
    Binary,
    Block,
    Body,
    Call,
    Case,
    Const,
    Decl,
    DimExpr,
    DimInt,
    DimOp,
    DimSize,
    DimVar,
    Everywhere,
    Expr,
    FromImport,
    Ident,
    If,
    Import,
    ImportItem,
    Index,
    Iter,
    Key,
    ListExpr,
    Literal,
    Map,
    Match,
    Member,
    Module,
    Name,
    Nested,
    ObjectExpr,
    Out,
    Param,
    Pipeline,
    Port,
    Profile,
    QName,
    RaggedDim,
    RestDims,
    Return,
    Rhs,
    Route,
    RouteArm,
    RowsDim,
    Setting,
    ShadowArm,
    Signature,
    SizedDim,
    Slice,
    Stage,
    State,
    Statement,
    Target,
    Try,
    TypeAlias,
    TypeExpr,
    Unary,
    Versioned,
    Yield,
)

SOURCE = Source("<made>", "")
AT = Span(SOURCE, 0, 0)

T = TypeVar("T")
Some = st.SearchStrategy[T]

WORDS = ("a", "b", "f", "img", "x_1", "_", "L", "N", "f32", "encoder")
SOFT = ("weight", "state", "type", "sample", "stage", "to", "pipe", "stream", "where", "using")
"""Keywords that are names wherever the grammar has no use for them."""

names = st.sampled_from(WORDS)
idents = names.map(lambda text: Ident(text, span=AT))
soft_idents = st.sampled_from(WORDS + SOFT).map(lambda text: Ident(text, span=AT))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
paragraphs = st.lists(texts, min_size=2, max_size=4).map(lambda lines: "\n".join(lines) + "\n")
docs = st.text("abc `*#", max_size=8).map(str.strip)


def tuples(items: Some[T], least: int = 0, most: int = 3) -> Some[tuple[T, ...]]:
    """Short tuples."""
    return st.lists(items, min_size=least, max_size=most).map(tuple)


def maybe(items: Some[T]) -> Some[T | None]:
    """The item or None."""
    return st.none() | items


def made(make: Callable[..., T], *parts: Some[object]) -> Some[T]:
    """Nodes of a class from strategies for its fields."""
    return st.builds(lambda *fields: make(*fields, span=AT), *parts)


# ---- types

qnames = made(QName, tuples(idents, 1, 2))
sizes: Some[DimSize] = st.recursive(
    made(DimInt, st.integers(0, 9999)) | made(DimVar, names),
    lambda inner: made(DimOp, st.sampled_from("+-*/"), inner, inner),
    max_leaves=4,
)
dims: Some[DimExpr] = st.one_of(
    made(RowsDim), made(AnyDim), made(RestDims), made(RaggedDim, sizes), made(SizedDim, sizes)
)
types = made(TypeExpr, qnames, tuples(dims), st.booleans(), st.booleans())

# ---- expressions


def _literal(kind: str, value: object, raw: str = "") -> Literal:
    return Literal(kind, value, raw, span=AT)  # type: ignore[arg-type]  # kinds and values match below


def _spelled(kind: str, raw: str) -> Literal:
    return _literal(kind, literals.value_of(kind.upper(), raw), raw)


literal_nodes = st.one_of(
    st.integers(0, literals.LARGEST).map(lambda n: _literal("int", n)),
    st.floats(0, allow_nan=False, allow_infinity=False).map(lambda x: _spelled("float", repr(x))),
    (texts | paragraphs).map(lambda s: _literal("string", s)),
    st.integers(0, 10**15).map(lambda ns: _spelled("duration", literals.duration(ns))),
    st.integers(0, 2**50).map(lambda n: _spelled("bytes", literals.size(n))),
    st.floats(0, 1).map(lambda x: _spelled("percent", literals.percent(x))),
    st.booleans().map(lambda b: _literal("bool", b)),
    st.just(_literal("null", None)),
)
versions = st.integers(0, 99) | names | texts
operators = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<=", ">=", "<", ">", "and", "or", "??"])


def _larger(inner: Some[Expr]) -> Some[Expr]:
    argument = made(Argument, maybe(soft_idents), inner)
    options = tuples(made(Argument, soft_idents, inner), 0, 2)
    subscript = inner | made(Slice, maybe(inner), maybe(inner))
    return st.one_of(
        made(Unary, st.sampled_from(("-", "not")), inner),
        made(Binary, operators, inner, inner),
        made(Call, inner, tuples(argument), options),
        made(Member, inner, soft_idents),
        made(Index, inner, tuples(subscript, 1, 2)),
        made(ListExpr, tuples(inner)),
        made(ObjectExpr, tuples(st.tuples(texts, inner), 0, 2)),
    )


expressions: Some[Expr] = st.recursive(
    literal_nodes | made(Name, names) | made(Versioned, names, versions), _larger, max_leaves=6
)
small: Some[Expr] = literal_nodes | made(Name, names)
arguments = tuples(made(Argument, soft_idents, expressions), 0, 2)

# ---- settings

keys = made(Key, tuples(names, 1, 3) | st.tuples(texts | st.sampled_from(SOFT)))
settings = made(Setting, keys, expressions)
tensors = st.sampled_from([(None, None), ("h0", "hn")])
states = st.builds(
    lambda name, type_, init, ends: State(name, type_, init, *ends, span=AT), idents, types, maybe(expressions), tensors
)
blocks: Some[Block] = st.recursive(
    made(Block, tuples(settings | states)),
    lambda inner: made(Block, tuples(settings | made(Nested, keys, maybe(versions), inner))),
    max_leaves=3,
)
nested = made(Nested, keys, maybe(versions), blocks)

# ---- dataflow

targets = tuples(made(Target, idents, maybe(types)), 1)
outs = tuples(made(Out, maybe(soft_idents), expressions), 1)
ends: Some[Statement] = made(Return, outs) | made(Yield, outs)


def _bodies(inner: Some[Body]) -> Some[Body]:
    iters = tuples(made(Iter, idents, small), 1, 2)
    arms = made(RouteArm, idents, small, inner) | made(ShadowArm, idents, maybe(small), inner)
    simple_if = made(If, expressions, inner, maybe(inner))
    control: Some[Rhs] = st.one_of(
        simple_if,
        made(If, expressions, inner, simple_if),
        made(Match, small, tuples(made(Case, tuples(small, 1), inner), 1, 2), maybe(inner)),
        made(Map, arguments, iters, inner),
        made(Route, maybe(small), tuples(arms, 1)),
        made(Try, arguments, inner, maybe(idents), inner),
    )
    return made(Body, tuples(made(Assign, targets, control) | ends, 1, 2))


_flat = made(Body, tuples(made(Assign, targets, expressions) | nested | ends))
bodies: Some[Body] = st.recursive(_flat, _bodies, max_leaves=4)

# ---- declarations

ports = made(Port, soft_idents, types, maybe(small), docs)
signatures = made(Signature, tuples(ports), tuples(ports))
bounds = tuples(expressions, 0, 2)
calls = made(Call, made(Name, names), tuples(made(Argument, maybe(soft_idents), expressions)))
profile_items = settings | nested | made(Everywhere, blocks)


def _import(path: str, name: Ident) -> Import:
    return Import(path, AT, name, span=AT)


def _from_import(path: str, items: tuple[ImportItem, ...]) -> FromImport:
    return FromImport(path, AT, items, span=AT)


def _stage(name: Ident, inner: object, *rest: object) -> Stage:
    signature = inner if isinstance(inner, Signature) else None
    like = inner if isinstance(inner, QName) else None
    return Stage(name, signature, like, *rest, span=AT)  # type: ignore[arg-type]  # drawn in order


decls: Some[Decl] = st.one_of(
    st.builds(_import, texts, idents),
    st.builds(_from_import, texts, tuples(made(ImportItem, idents, maybe(idents)), 1)),
    made(Const, idents, maybe(types), expressions, docs),
    made(Param, idents, types, maybe(expressions), maybe(blocks), docs),
    made(TypeAlias, idents, types, docs),
    st.builds(_stage, idents, signatures | qnames | st.none(), bounds, calls, maybe(blocks), docs),
    made(Pipeline, st.booleans(), idents, signatures, bounds, bodies, docs),
    made(Profile, idents, tuples(idents, 0, 2), tuples(profile_items), docs),
)


def modules() -> Some[Module]:
    """Any module of edition 1, or without an edition line."""
    return st.builds(lambda edition, found: Module(SOURCE, edition, found, span=AT), maybe(st.just(1)), tuples(decls))
