"""The row rules as data: what a call of a signature with arguments of these types must be.

Shared by the checker's tests (types) and the executor's tests (shapes). An argument None is an absent
optional or a compile-time constant. Names in arguments are sizes of the caller. `shapes` gives concrete
requests: for each its rows, the shape of each argument and of each result; a ragged dim is a tuple of lengths,
`(2, (3, 5))`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import Bound, Port, Signature
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown

Length = int | tuple[int, ...]
Shape = tuple[Length, ...]


@dataclass(frozen=True)
class Element:
    """One element of a call: a request, or an item inside `map`. `rows`: how many it brings; 1 for `each`."""

    rows: int
    arguments: tuple[Shape | None, ...]
    results: tuple[Shape, ...]


@dataclass(frozen=True)
class Case:
    name: str
    signature: str
    arguments: tuple[str | None, ...]
    binding: str = ""
    results: tuple[str, ...] = ()
    code: str = ""
    port: int = 0
    """Input at fault."""
    other: int | None = None
    """Input it disagrees with."""
    unruled: tuple[str, ...] = ()
    unchecked: tuple[int, ...] = ()
    shapes: tuple[Element, ...] = ()


def ok(
    name: str,
    signature: str,
    arguments: tuple[str | None, ...],
    binding: str,
    results: tuple[str, ...],
    *,
    unruled: tuple[str, ...] = (),
    unchecked: tuple[int, ...] = (),
    shapes: tuple[Element, ...] = (),
) -> Case:
    return Case(name, signature, arguments, binding, results, unruled=unruled, unchecked=unchecked, shapes=shapes)


def bad(
    name: str,
    signature: str,
    arguments: tuple[str | None, ...],
    code: str,
    port: int = 0,
    other: int | None = None,
    unruled: tuple[str, ...] = (),
) -> Case:
    return Case(name, signature, arguments, code=code, port=port, other=other, unruled=unruled)


FRESH = "f, line 1"
"""Origin the tests give to fresh sizes."""

CASES: tuple[Case, ...] = (
    # ---- rows: the value has the axis
    ok(
        "star to star",
        "(x: f32[*, 4]) -> (y: f32[*, 2])",
        ("f32[*, 4]",),
        "rows",
        ("f32[*, 2]",),
        shapes=(Element(3, ((3, 4),), ((3, 2),)), Element(1, ((1, 4),), ((1, 2),))),
    ),
    ok(
        "a size to star",
        "(x: f32[*, 4]) -> (y: f32[*, 2])",
        ("f32[B, 4]",),
        "rows",
        ("f32[B, 2]",),
        shapes=(Element(5, ((5, 4),), ((5, 2),)), Element(0, ((0, 4),), ((0, 2),))),
    ),
    ok(
        "a number of rows",
        "(x: string[*]) -> (y: f32[*, 2])",
        ("string[1]",),
        "rows",
        ("f32[1, 2]",),
        shapes=(Element(1, ((1,),), ((1, 2),)),),
    ),
    ok("a computed size", "(x: f32[*]) -> (y: f32[*])", ("f32[2*B+1]",), "rows", ("f32[2*B+1]",)),
    ok("an unknown size", "(x: f32[*]) -> (y: f32[*])", ("f32[?]",), "rows", ("f32[?]",)),
    ok(
        "two ports, one star",
        "(a: f32[*, D], b: f32[*]) -> (y: f32[*, D])",
        ("f32[*, 8]", "f32[*]"),
        "rows",
        ("f32[*, 8]",),
        shapes=(Element(2, ((2, 8), (2,)), ((2, 8),)),),
    ),
    ok(
        "two ports, one size",
        "(a: f32[*], b: f32[*]) -> (y: f32[*])",
        ("f32[B]", "f32[B]"),
        "rows",
        ("f32[B]",),
    ),
    ok(
        "equal computed sizes",
        "(a: f32[*], b: f32[*]) -> (y: f32[*])",
        ("f32[B+B]", "f32[2*B]"),
        "rows",
        ("f32[2*B]",),
    ),
    ok(
        "known rows win over unknown ones",
        "(a: f32[*], b: f32[*]) -> (y: f32[*])",
        ("f32[?]", "f32[B]"),
        "rows",
        ("f32[B]",),
    ),
    ok(
        "a constant beside rows",
        "(a: f32[*], k: f32[*]) -> (y: f32[*])",
        ("f32[*]", None),
        "rows",
        ("f32[*]",),
    ),
    # ---- lift: the value is one row
    ok(
        "one row",
        "(x: f32[*, 4]) -> (y: f32[*, 2])",
        ("f32[4]",),
        "lift",
        ("f32[2]",),
        shapes=(Element(1, ((4,),), ((2,),)), Element(1, ((4,),), ((2,),))),
    ),
    ok(
        "one single value",
        "(x: string[*]) -> (n: i64[*])",
        ("string",),
        "lift",
        ("i64",),
        shapes=(Element(1, ((),), ((),)),),
    ),
    ok(
        "two ports lifted together",
        "(a: i64[*], p: f32[*, 10]) -> (label: i64[*], votes: i64[*, 2])",
        ("i64", "f32[10]"),
        "lift",
        ("i64", "i64[2]"),
        shapes=(Element(1, ((), (10,)), ((), (2,))),),
    ),
    ok("only constants", "(a: f32[*]) -> (y: f32[*])", (None,), "lift", ("f32",)),
    ok(
        "rows of an image stack are decided by rank",
        "(x: u8[*, H, W, 3]) -> (y: f32[*])",
        ("u8[N, H, W, 3]",),
        "rows",
        ("f32[N]",),
    ),
    ok(
        "one image",
        "(x: u8[*, H, W, 3]) -> (y: f32[*, H, W])",
        ("u8[480, 640, 3]",),
        "lift",
        ("f32[480, 640]",),
    ),
    # ---- ragged
    ok(
        "ragged to ragged",
        "(ids: i64[*, ~L]) -> (hidden: f32[*, ~L, 384])",
        ("i64[*, ~M]",),
        "rows",
        ("f32[*, ~M, 384]",),
        shapes=(Element(2, ((2, (3, 5)),), ((2, (3, 5), 384),)), Element(1, ((1, (4,)),), ((1, (4,), 384),))),
    ),
    ok(
        "ragged over a size",
        "(x: f32[*, ~L]) -> (y: f32[*, ~L])",
        ("f32[B, ~W]",),
        "rows",
        ("f32[B, ~W]",),
        shapes=(Element(2, ((2, (1, 4)),), ((2, (1, 4)),)),),
    ),
    ok(
        "one ragged row is plain",
        "(ids: i64[*, ~L]) -> (hidden: f32[*, ~L, 384])",
        ("i64[S]",),
        "lift",
        ("f32[S, 384]",),
        shapes=(Element(1, ((7,),), ((7, 384),)), Element(1, ((2,),), ((2, 384),))),
    ),
    ok(
        "a plain size is a ragged one of equal lengths",
        "(x: f32[*, ~L]) -> (y: f32[*, ~L])",
        ("f32[*, S]",),
        "rows",
        ("f32[*, ~S]",),
        shapes=(Element(2, ((2, 6),), ((2, (6, 6)),)),),
    ),
    ok(
        "equal lengths of two ports",
        "(a: f32[*, ~L], m: i64[*, ~L]) -> (y: f32[*])",
        ("f32[*, ~K]", "i64[*, ~K]"),
        "rows",
        ("f32[*]",),
    ),
    ok(
        "computed lengths",
        "(a: f32[*, ~L]) -> (y: f32[*, ~(2*L)])",
        ("f32[*, ~K]",),
        "rows",
        ("f32[*, ~(2*K)]",),
    ),
    ok(
        "ragged inside a value",
        "(a: f32[N, ~W]) -> (y: f32[N, ~W])",
        ("f32[4, ~V]",),
        "each",
        ("f32[4, ~V]",),
    ),
    ok(
        "a rule is there",
        "(x: f32[*, ~L]) -> (y: f32[*])",
        ("f32[*, ~K]",),
        "rows",
        ("f32[*]",),
        unruled=("M",),
    ),
    # ---- fresh sizes
    ok(
        "a fresh length for each row",
        "(image: f32[*, 3]) -> (boxes: f32[*, ~N, 4], scores: f32[*, ~N])",
        ("f32[*, 3]",),
        "rows",
        (f"f32[*, ~<N of {FRESH}>, 4]", f"f32[*, ~<N of {FRESH}>]"),
    ),
    ok(
        "a fresh length of one row is a fresh size",
        "(image: f32[*, 3]) -> (boxes: f32[*, ~N, 4], scores: f32[*, ~N])",
        ("f32[3]",),
        "lift",
        (f"f32[<N of {FRESH}>, 4]", f"f32[<N of {FRESH}>]"),
    ),
    ok(
        "a fresh size",
        "(pcm: f32[1600]) -> (feats: f32[T, 512])",
        ("f32[1600]",),
        "each",
        (f"f32[<T of {FRESH}>, 512]",),
    ),
    # ---- ports without the axis
    ok(
        "one value for the whole call",
        "(x: f32[*, 4], k: i32) -> (y: f32[*])",
        ("f32[*, 4]", "i32"),
        "rows",
        ("f32[*]",),
        shapes=(Element(2, ((2, 4), ()), ((2,),)),),
    ),
    ok(
        "it is no part of lifting",
        "(x: f32[*, 4], k: i32) -> (y: f32[*])",
        ("f32[4]", "i32"),
        "lift",
        ("f32",),
    ),
    ok(
        "a table beside rows",
        "(x: f32[*, D], t: f32[V, D]) -> (y: f32[*, V])",
        ("f32[*, 8]", "f32[100, 8]"),
        "rows",
        ("f32[*, 100]",),
    ),
    ok("an absent optional", "(x: f32[*], m: f32[*]?) -> (y: f32[*])", ("f32[B]", None), "rows", ("f32[B]",)),
    ok(
        "an optional that is there",
        "(x: f32[*], m: f32[*]?) -> (y: f32[*])",
        ("f32[B]", "f32[B]"),
        "rows",
        ("f32[B]",),
    ),
    # ---- each: no row axis in the signature
    ok(
        "once for each element",
        "(image: u8[H, W, 3]) -> (x: f32[3, 640, 640])",
        ("u8[480, 640, 3]",),
        "each",
        ("f32[3, 640, 640]",),
        shapes=(Element(1, ((480, 640, 3),), ((3, 640, 640),)),),
    ),
    ok(
        "sizes go through",
        "(x: f32[N, D]) -> (y: f32[D, N])",
        ("f32[M, 3]",),
        "each",
        ("f32[3, M]",),
        shapes=(Element(1, ((5, 3),), ((3, 5),)),),
    ),
    ok(
        "a size is solved for",
        "(x: f32[2*H]) -> (y: f32[H])",
        ("f32[8]",),
        "each",
        ("f32[4]",),
        shapes=(Element(1, ((8,),), ((4,),)),),
    ),
    ok(
        "a size is solved symbolically",
        "(x: f32[2*H+1]) -> (y: f32[H])",
        ("f32[4*K+1]",),
        "each",
        ("f32[2*K]",),
    ),
    ok(
        "names first, expressions later",
        "(x: f32[2*H], h: f32[H]) -> (y: f32[H])",
        ("f32[2*K]", "f32[K]"),
        "each",
        ("f32[K]",),
    ),
    # ---- `?` and `...`
    ok(
        "`?` takes any size",
        "(x: f32[*, ?]) -> (y: f32[*, ?])",
        ("f32[*, 7]",),
        "rows",
        ("f32[*, ?]",),
    ),
    ok(
        "a size takes `?`",
        "(x: f32[*, D]) -> (y: f32[*, D])",
        ("f32[*, ?]",),
        "rows",
        ("f32[*, ?]",),
        unchecked=(0,),
    ),
    ok(
        "`...` never lifts",
        "(x: f32[*, ...]) -> (y: f32[*])",
        ("f32[480, 640]",),
        "rows",
        ("f32[480]",),
    ),
    ok(
        "`...` takes rows alone",
        "(x: f32[*, ...]) -> (y: f32[*])",
        ("f32[*]",),
        "rows",
        ("f32[*]",),
    ),
    ok(
        "dims behind `...`",
        "(x: f32[*, ..., 3]) -> (y: f32[*])",
        ("f32[*, 4, 5, 3]",),
        "rows",
        ("f32[*]",),
    ),
    ok(
        "a value with `...`",
        "(x: f32[*, 4, 5]) -> (y: f32[*])",
        ("f32[*, ...]",),
        "rows",
        ("f32[*]",),
        unchecked=(0,),
    ),
    # ---- conflicts
    bad("another number", "(x: f32[*, 384]) -> (y: f32[*])", ("f32[*, 768]",), "E0301"),
    bad("another number in a row", "(x: f32[*, 384]) -> (y: f32[*])", ("f32[768]",), "E0301"),
    bad("one more than itself", "(a: f32[N], b: f32[N]) -> (y: f32[N])", ("f32[K]", "f32[K+1]"), "E0301", 1, 0),
    bad("no whole solution", "(x: f32[2*H]) -> (y: f32[H])", ("f32[7]",), "E0301"),
    bad("ragged where one size is needed", "(x: f32[*, D]) -> (y: f32[*])", ("f32[*, ~L]",), "E0301"),
    bad("ragged into `?`", "(x: f32[*, ?]) -> (y: f32[*])", ("f32[*, ~L]",), "E0301"),
    bad("ragged into `...`", "(x: f32[*, ...]) -> (y: f32[*])", ("f32[*, ~L]",), "E0301"),
    bad("ragged values inside one row", "(x: f32[*, K, ~L]) -> (y: f32[*])", ("f32[N, ~W]",), "E0301"),
    bad("rows where a size is needed", "(x: f32[N, 4]) -> (y: f32[N])", ("f32[*, 4]",), "E0301"),
    bad("another dtype", "(x: f32[*, 3]) -> (y: f32[*])", ("u8[*, 3]",), "E0302"),
    bad(
        "sizes nobody knows equal",
        "(a: f32[N], b: f32[N]) -> (y: f32[N])",
        ("f32[K]", "f32[M]"),
        "E0303",
        1,
        0,
    ),
    bad(
        "lengths nobody knows equal",
        "(a: f32[*, ~L], b: f32[*, ~L]) -> (y: f32[*])",
        ("f32[*, ~K]", "f32[*, ~M]"),
        "E0303",
        1,
        0,
    ),
    bad("a number nobody knows", "(x: f32[*, 384]) -> (y: f32[*])", ("f32[*, D]",), "E0303"),
    bad("too few dims", "(x: f32[*, 3, 8, 8]) -> (y: f32[*])", ("f32[8, 8]",), "E0304"),
    bad("too many dims", "(x: f32[*, 3]) -> (y: f32[*])", ("f32[B, 5, 3]",), "E0304"),
    bad("a row axis too many", "(x: f32[3]) -> (y: f32)", ("f32[B, 3]",), "E0304"),
    bad("rows are not the missing axis", "(x: f32[*, 4, 3]) -> (y: f32[*])", ("f32[*, 3]",), "E0304"),
    bad("`...` needs an axis", "(x: f32[*, ...]) -> (y: f32[*])", ("f32",), "E0304"),
    bad("rows of two counts", "(a: f32[*], b: f32[*]) -> (y: f32[*])", ("f32[M]", "f32[N]"), "E0305", 1, 0),
    bad("star and a size", "(a: f32[*], b: f32[*]) -> (y: f32[*])", ("f32[*]", "f32[N]"), "E0305", 1, 0),
    bad("rows and one row", "(a: f32[*, 3], b: f32[*]) -> (y: f32[*])", ("f32[N, 3]", "f32"), "E0305", 1, 0),
    bad("one row and rows", "(a: f32[*, 3], b: f32[*]) -> (y: f32[*])", ("f32[3]", "f32[N]"), "E0305", 0, 1),
    bad("no rule for lengths", "(x: f32[*, ~L]) -> (y: f32[*])", ("f32[*, ~K]",), "E0306", unruled=("L",)),
    bad("no rule for equal lengths", "(x: f32[*, ~L]) -> (y: f32[*])", ("f32[*, S]",), "E0306", unruled=("L",)),
    bad("no rule for one row", "(x: f32[*, ~L]) -> (y: f32[*])", ("f32[S]",), "E0306", unruled=("L",)),
    bad("above the bound", "(x: f32[*, ~L]) -> (y: f32[*]) where L <= 512", ("f32[*, 600]",), "E0307"),
    bad("may be absent", "(x: f32[*]) -> (y: f32[*])", ("f32[*]?",), "E0309"),
    bad("a stream", "(x: string) -> (y: string)", ("stream string",), "E0701"),
)


# ---- text -> types, for tables only


def type_of_text(text: str) -> TensorType:
    """`f32[*, ~L, 2*H]?`; `<N of f, line 1>` is a fresh size."""
    found = re.fullmatch(r"(stream )?(\w+)(?:\[(.*)\])?(\?)?", text)
    assert found, text
    stream, dtype, dims, optional = found.groups()
    fresh: dict[str, str] = {}

    def hide(match: re.Match[str]) -> str:
        fresh[name := f"_{len(fresh)}"] = match.group(1)
        return name

    hidden = re.sub(r"<([^>]*)>", hide, dims or "")
    parsed = tuple(_dim(part.strip(), fresh) for part in hidden.split(",") if part.strip())
    return TensorType(DTYPES[dtype], parsed, bool(optional), bool(stream))


def _dim(text: str, fresh: dict[str, str]) -> Dim:
    fixed: dict[str, Dim] = {"*": Rows(), "?": Unknown(), "...": Rest()}
    if text in fixed:
        return fixed[text]
    if text.startswith("~"):
        return Ragged(size_of_text(text[1:], fresh))
    return Sized(size_of_text(text, fresh))


def size_of_text(text: str, fresh: dict[str, str] | None = None) -> Size:
    return _size(ast.parse(text.strip(), mode="eval").body, fresh or {})


def _size(tree: ast.expr, fresh: dict[str, str]) -> Size:
    if isinstance(tree, ast.Constant):
        return Size.of(int(str(tree.value)))
    if isinstance(tree, ast.Name):
        name, _, origin = fresh.get(tree.id, tree.id).partition(" of ")
        return Size.of(Symbol(name, origin))
    assert isinstance(tree, ast.BinOp)
    left, right = _size(tree.left, fresh), _size(tree.right, fresh)
    if isinstance(tree.op, ast.Add):
        return left + right
    if isinstance(tree.op, ast.Sub):
        return left - right
    return left * right if isinstance(tree.op, ast.Mult) else left // right


def signature_of_text(text: str) -> Signature:
    """`(x: f32[*, ~L]) -> (y: f32[*]) where L <= 512`"""
    ports, _, where = text.partition(" where ")
    inputs, _, outputs = ports.partition(" -> ")
    bounds = tuple(_bound(part) for part in where.split(",") if part)
    return Signature(_ports(inputs), _ports(outputs), bounds)


def _bound(text: str) -> Bound:
    left, op, right = re.split(r"\s*(<=|>=|==|<|>)\s*", text.strip())
    return Bound(size_of_text(left), op, size_of_text(right))


def _ports(text: str) -> tuple[Port, ...]:
    found = re.findall(r"(\w+): ([^:]+?)(?:, (?=\w+:)|$)", text.strip("() "))
    return tuple(Port(name, type_of_text(spelling)) for name, spelling in found)
