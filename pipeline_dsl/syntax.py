"""The tree of a `.pipe` file: one frozen class for each construct, each with its span.

Made by `parse` from text and by `builder` from Python; both make equal trees for equal programs, because
spans and docs' positions are left out of equality. Nothing here is checked: names may be unknown, types wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal as Choice

from .source import Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all constructs."""

    span: Span = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A name where it is written."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class QName(Node):
    """`a` or `module.a`."""

    parts: tuple[Ident, ...]

    def __str__(self) -> str:
        return ".".join(p.text for p in self.parts)


# ---- types


@dataclass(frozen=True, slots=True)
class DimInt(Node):
    """`384`"""

    value: int


@dataclass(frozen=True, slots=True)
class DimVar(Node):
    """`N`"""

    name: str


@dataclass(frozen=True, slots=True)
class DimOp(Node):
    """`2*H`, `(W+1)/2`"""

    op: Choice["+", "-", "*", "/"]
    left: DimSize
    right: DimSize


DimSize = DimInt | DimVar | DimOp


@dataclass(frozen=True, slots=True)
class RowsDim(Node):
    """`*`"""


@dataclass(frozen=True, slots=True)
class AnyDim(Node):
    """`?`"""


@dataclass(frozen=True, slots=True)
class RestDims(Node):
    """`...`"""


@dataclass(frozen=True, slots=True)
class RaggedDim(Node):
    """`~L`"""

    size: DimSize


@dataclass(frozen=True, slots=True)
class SizedDim(Node):
    """`384`, `N`, `2*H`"""

    size: DimSize


DimExpr = RowsDim | AnyDim | RestDims | RaggedDim | SizedDim


@dataclass(frozen=True, slots=True)
class TypeExpr(Node):
    """`stream f32[*, ~L]?`; `dims` is empty for a single value."""

    name: QName
    dims: tuple[DimExpr, ...] = ()
    optional: bool = False
    stream: bool = False


# ---- expressions


@dataclass(frozen=True, slots=True)
class Name(Node):
    """`x`"""

    text: str


@dataclass(frozen=True, slots=True)
class Versioned(Node):
    """`ranker@4`; `version` as written, a string without its quotes."""

    name: str
    version: int | str


LiteralKind = Choice["int", "float", "string", "duration", "bytes", "percent", "bool", "null"]


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A literal. Units are kept: `5ms` and `5000us` are different trees with equal values.

    `value`: int; float; str (decoded, `${NAME}` left in); duration in ns (int); bytes in bytes (int); percent as
    a fraction (float); bool; None. `raw` is the spelling, `5ms`; "" for kinds that print from their value
    (string, bool, null, int). A text block is a string with its common indentation removed.
    """

    kind: LiteralKind
    value: int | float | str | bool | None
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-x`, `not x`"""

    op: Choice["-", "not"]
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """`op` as written: `+ - * / % == != <= >= < > and or ??`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Argument(Node):
    """`x` (name None) or `port = x`."""

    name: Ident | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`f(x, port = y) with (timeout = 50ms)`."""

    callee: Expr
    args: tuple[Argument, ...]
    options: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Member(Node):
    """`x.name`"""

    value: Expr
    name: Ident


@dataclass(frozen=True, slots=True)
class Slice(Node):
    """`a:b` between brackets; an end that is left out is None"""

    start: Expr | None
    stop: Expr | None


@dataclass(frozen=True, slots=True)
class Index(Node):
    """`x[i]`, `x[a:b]`, `x[i, j]`"""

    value: Expr
    subscripts: tuple[Expr | Slice, ...]


@dataclass(frozen=True, slots=True)
class ListExpr(Node):
    """`[a, b]`"""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class ObjectExpr(Node):
    """`{ "a": x }`"""

    items: tuple[tuple[str, Expr], ...]


Expr = Name | Versioned | Literal | Unary | Binary | Call | Member | Index | ListExpr | ObjectExpr


# ---- settings


@dataclass(frozen=True, slots=True)
class Key(Node):
    """`batching`, `embed.encoder`, `"labels.x"`: the parts between dots."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Setting(Node):
    """`max = 8`"""

    key: Key
    value: Expr


@dataclass(frozen=True, slots=True)
class Nested(Node):
    """`batching { .. }`, `ranker@4 { .. }`"""

    key: Key
    version: int | str | None
    block: Block


@dataclass(frozen=True, slots=True)
class State(Node):
    """`state h: f32[2] = zeros() as "h0" -> "hn"`"""

    name: Ident
    type: TypeExpr
    init: Expr | None
    tensor_in: str | None
    tensor_out: str | None


@dataclass(frozen=True, slots=True)
class Everywhere(Node):
    """`* { .. }` in a profile"""

    block: Block


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`{ .. }` with settings"""

    items: tuple[Setting | Nested | State, ...] = ()


# ---- dataflow


@dataclass(frozen=True, slots=True)
class Target(Node):
    """`h: f32[*] = ..`: a name on the left"""

    name: Ident
    type: TypeExpr | None = None


@dataclass(frozen=True, slots=True)
class Assign(Node):
    """`a, b = f(x)`"""

    targets: tuple[Target, ...]
    value: Rhs


@dataclass(frozen=True, slots=True)
class Out(Node):
    """`x` (name None) or `out = expr`"""

    name: Ident | None
    value: Expr


@dataclass(frozen=True, slots=True)
class Return(Node):
    """`return a, b = x`"""

    outs: tuple[Out, ...]


@dataclass(frozen=True, slots=True)
class Yield(Node):
    """`yield a`"""

    outs: tuple[Out, ...]


@dataclass(frozen=True, slots=True)
class Body(Node):
    """`{ .. }` with statements"""

    statements: tuple[Statement, ...] = ()


@dataclass(frozen=True, slots=True)
class If(Node):
    """`orelse` is a Body, another If (`else if`), or None."""

    condition: Expr
    body: Body
    orelse: Body | If | None


@dataclass(frozen=True, slots=True)
class Case(Node):
    """`case "a", "b" { .. }`"""

    values: tuple[Expr, ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Match(Node):
    """`match x { case .. else .. }`"""

    subject: Expr
    cases: tuple[Case, ...]
    default: Body | None


@dataclass(frozen=True, slots=True)
class Iter(Node):
    """`img in image`"""

    name: Ident
    source: Expr


@dataclass(frozen=True, slots=True)
class Map(Node):
    """`map (max = 100) x in xs { .. }`"""

    options: tuple[Argument, ...]
    iters: tuple[Iter, ...]
    body: Body


@dataclass(frozen=True, slots=True)
class RouteArm(Node):
    """`to stable weight 90% { .. }`"""

    name: Ident
    weight: Expr
    body: Body


@dataclass(frozen=True, slots=True)
class ShadowArm(Node):
    """`shadow next sample 5% { .. }`"""

    name: Ident
    sample: Expr | None
    body: Body


@dataclass(frozen=True, slots=True)
class Route(Node):
    """`route by key { .. }`"""

    key: Expr | None
    arms: tuple[RouteArm | ShadowArm, ...]


@dataclass(frozen=True, slots=True)
class Try(Node):
    """`try (timeout = 80ms) { .. } fallback err { .. }`"""

    options: tuple[Argument, ...]
    body: Body
    error: Ident | None
    fallback: Body


Control = If | Match | Map | Route | Try
Rhs = Expr | Control
Statement = Assign | Return | Yield | Nested


# ---- declarations


@dataclass(frozen=True, slots=True)
class Port(Node):
    """`x: f32[*] = 0.5`"""

    name: Ident
    type: TypeExpr
    default: Expr | None = None
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Signature(Node):
    """`(x: f32[*]) -> (y: f32[*])`"""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Import(Node):
    """`import "x.pipe" as v`"""

    path: str
    path_span: Span = field(compare=False, repr=False)
    name: Ident


@dataclass(frozen=True, slots=True)
class ImportItem(Node):
    """`a as b`"""

    name: Ident
    alias: Ident | None


@dataclass(frozen=True, slots=True)
class FromImport(Node):
    """`from "x.pipe" import a, b as c`"""

    path: str
    path_span: Span = field(compare=False, repr=False)
    items: tuple[ImportItem, ...]


@dataclass(frozen=True, slots=True)
class Const(Node):
    """`const N = 8`"""

    name: Ident
    type: TypeExpr | None
    value: Expr
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Param(Node):
    """`param N: i32 = 8 { min = 1 }`"""

    name: Ident
    type: TypeExpr
    default: Expr | None
    constraints: Block | None
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class TypeAlias(Node):
    """`type Image = u8[H, W, 3]`"""

    name: Ident
    type: TypeExpr
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Stage(Node):
    """Exactly one of `signature` and `like` is given, or neither."""

    name: Ident
    signature: Signature | None
    like: QName | None
    where: tuple[Expr, ...]
    using: Call
    block: Block | None
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Pipeline(Node):
    """`pipeline p(..) -> (..) { .. }`"""

    private: bool
    name: Ident
    signature: Signature
    where: tuple[Expr, ...]
    body: Body
    doc: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Profile(Node):
    """`profile gpu extends cpu { .. }`"""

    name: Ident
    extends: tuple[Ident, ...]
    items: tuple[Setting | Nested | Everywhere, ...]
    doc: str = field(default="", compare=False)


Decl = Import | FromImport | Const | Param | TypeAlias | Stage | Pipeline | Profile


@dataclass(frozen=True, slots=True)
class Module(Node):
    """One file. `edition` is None where the header is missing."""

    source: Source = field(compare=False, repr=False)
    edition: int | None
    decls: tuple[Decl, ...]
