"""Symbolic values: what the functions of a pipeline compute with while its graph is built.

A `Value` stands for an expression. Operators, indices and `.port` make larger ones; `&`, `|` and `~` are `and`,
`or` and `not`. Whatever would need the value itself (`if`, `len`, unpacking) is a CompileError that says what to
write. A call without a name can be used once, as in text; `p.x = call` names it.
"""

from __future__ import annotations

from typing import Any, NoReturn

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.errors import Mistake
from pipeline_dsl.errors.builder import (
    ForeignValue,
    MovedIntoBody,
    NoValueYet,
    UnknownCount,
    UsedTwice,
)
from pipeline_dsl.source import Span

from .declared import Uses
from .frames import current
from .parts import Part, over, part, respanned
from .places import Place, caller


class Value:
    """A value of the run, or one that is fixed when the pipeline is compiled (a const, a param, `ms(5)`).

    hits = search(query)
    best = (hits.score > 0.5) & pp.present(user)"""

    __slots__ = ("_part",)
    __array_ufunc__ = None  # numpy scalars leave operators to us

    def __init__(self, made: Part) -> None:
        self._part = made
        if made.calls:
            _pend(made)

    def __part__(self, place: Place | None) -> Part:
        mine = self._part
        if mine.frame is not None:
            _reach(mine, place)
        span = mine.span if place is None else place.span
        if mine.calls:
            _spend(mine, span)
        return Part(respanned(mine.expr, span), mine.uses, mine.frame, mine.calls, mine.depth)

    def __getattr__(self, name: str) -> Value:
        if name.startswith("_"):
            raise AttributeError(f"no attribute `{name}`; a port of this name: `pp.member(value, {name!r})`")
        return member(self, name)

    def __getitem__(self, key: Any) -> Value:
        return _index(self, key, caller())

    # ---- operators

    def __add__(self, other: Any) -> Value:
        return _binary("+", self, other)

    def __radd__(self, other: Any) -> Value:
        return _binary("+", other, self)

    def __sub__(self, other: Any) -> Value:
        return _binary("-", self, other)

    def __rsub__(self, other: Any) -> Value:
        return _binary("-", other, self)

    def __mul__(self, other: Any) -> Value:
        return _binary("*", self, other)

    def __rmul__(self, other: Any) -> Value:
        return _binary("*", other, self)

    def __truediv__(self, other: Any) -> Value:
        return _binary("/", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return _binary("/", other, self)

    def __mod__(self, other: Any) -> Value:
        return _binary("%", self, other)

    def __rmod__(self, other: Any) -> Value:
        return _binary("%", other, self)

    def __and__(self, other: Any) -> Value:
        return _binary("and", self, other)

    def __rand__(self, other: Any) -> Value:
        return _binary("and", other, self)

    def __or__(self, other: Any) -> Value:
        return _binary("or", self, other)

    def __ror__(self, other: Any) -> Value:
        return _binary("or", other, self)

    def __neg__(self) -> Value:
        return _unary("-", self)

    def __invert__(self) -> Value:
        return _unary("not", self)

    def __lt__(self, other: Any) -> Value:
        return _binary("<", self, other)

    def __le__(self, other: Any) -> Value:
        return _binary("<=", self, other)

    def __gt__(self, other: Any) -> Value:
        return _binary(">", self, other)

    def __ge__(self, other: Any) -> Value:
        return _binary(">=", self, other)

    def __eq__(self, other: object) -> Value:  # type: ignore[override]  # an expression, like all comparisons
        return _binary("==", self, other)

    def __ne__(self, other: object) -> Value:  # type: ignore[override]  # an expression, like all comparisons
        return _binary("!=", self, other)

    __hash__ = object.__hash__

    # ---- what Python can not know yet

    def __bool__(self) -> bool:
        place = caller()
        self._refuse(place, "its truth", _instead_of_truth(place))

    def __contains__(self, item: object) -> bool:
        self._refuse(caller(), "what it holds", "`pp.match_(x, {..})`, or a python stage")

    def __len__(self) -> int:
        self._refuse(caller(), "its length", f"`pp.len({self._part.shown()})`")

    def __int__(self) -> int:
        self._refuse(caller(), "a number", "`pp.cast(x, i64)`")

    def __float__(self) -> float:
        self._refuse(caller(), "a number", "`pp.cast(x, f64)`")

    def __index__(self) -> int:
        self._refuse(caller(), "a number", "use it in an operator or a call of the pipeline")

    def __format__(self, spec: str) -> str:
        self._refuse(caller(), "its text", '`pp.format("{x}", x=..)`')

    def __iter__(self) -> NoReturn:
        place = caller()
        shown = self._part.shown()
        advice = f'`a, b = p.let("a, b", {shown})` gives both a name'
        if " for " in f" {place.span.source.line(place.span.line)} ":
            advice = f"`pp.map_(body, x={shown})` runs a body for each"
        _fail(UnknownCount(place.span, shown, advice))

    def _refuse(self, place: Place, wanted: str, advice: str) -> NoReturn:
        _fail(NoValueYet(place.span, self._part.shown(), wanted, advice))

    def __repr__(self) -> str:
        return f"<{self._part.shown()}>"


class Derived(Value):
    """A value made of others, or a name of the run.

    Concrete values are siblings: Python would ask a subclass first and turn `a >= b` around."""

    __slots__ = ()


def member(value: Any, name: str) -> Value:
    """`value.name`, for ports whose name Python does not take after a dot: `pp.member(r, "in")`."""
    place = caller()
    owner = part(value, place.operand(0))
    name_span = Span(place.span.source, max(place.span.end - len(name), place.span.start), place.span.end)
    return Derived(over(syntax.Member(owner.expr, syntax.Ident(name, span=name_span), span=place.span), [owner]))


def constant(expr: syntax.Expr, uses: Uses = ()) -> Value:
    """A value that is known without a request."""
    return Derived(Part(expr, uses))


def _pend(made: Part) -> None:
    frame = current()
    assert frame is not None, "calls are made in a body"
    made.frame = frame
    frame.pending.append(made)


def _reach(made: Part, place: Place | None) -> None:
    """Values of a run are used in the body that made them and in those inside of it."""
    frame = current()
    assert made.frame is not None, "only values of a run have a frame"
    if frame is None or not frame.sees(made.frame):
        span = place.span if place is not None else frame.span if frame is not None else caller().span
        _fail(ForeignValue(span, made.shown(), made.frame.title, made.span))


def _spend(made: Part, span: Span) -> None:
    """A call without a name is used where it stands, and once."""
    if made.spent is not None:
        _fail(UsedTwice(span, made.shown(), made.spent))
    if made.frame is not None and made.frame is not current():
        made.spent = span
        _fail(MovedIntoBody(span, made.shown(), made.frame.title, made.span))
    made.spent = span


def _binary(op: str, left: Any, right: Any) -> Value:
    place = caller()
    sides = [part(left, place.operand(0)), part(right, place.operand(1))]
    return Derived(over(syntax.Binary(op, sides[0].expr, sides[1].expr, span=place.span), sides))


def _unary(op: Any, value: Value) -> Value:
    place = caller()
    operand = part(value, place.operand(0))
    return Derived(over(syntax.Unary(op, operand.expr, span=place.span), [operand]))


def _index(value: Value, key: Any, place: Place) -> Value:
    owner = part(value, place.operand(0))
    subscripts: list[syntax.Expr | syntax.Slice] = []
    parts = [owner]
    for one in key if isinstance(key, tuple) else (key,):
        if isinstance(one, slice):
            ends = [None if end is None else part(end, place.operand(1)) for end in (one.start, one.stop)]
            if one.step is not None:
                raise TypeError("a slice of a pipeline has no step")
            parts += [end for end in ends if end is not None]
            start, stop = (None if end is None else end.expr for end in ends)
            subscripts.append(syntax.Slice(start, stop, span=place.span))
        else:
            parts.append(part(one, place.operand(1)))
            subscripts.append(parts[-1].expr)
    return Derived(over(syntax.Index(owner.expr, tuple(subscripts), span=place.span), parts))


def _instead_of_truth(place: Place) -> str:
    """What to write for the Python around a value."""
    line = place.span.source.line(place.span.line).split()
    if line[:1] == ["while"]:
        return "a pipeline has no loops; `pp.map_` runs a body for each row"
    word = place.operator()
    if word == "<":
        return "comparisons do not chain: `(a < x) & (x < b)`"
    if not word and line[:1] in (["if"], ["elif"], ["assert"]):
        word = next((w for w in _SIGNS if w in line), "")
    if word in _SIGNS:
        return f"`{_SIGNS[word]}` is `{word}` for values of a pipeline: {_USES[word]}"
    return "`p.x = pp.if_(condition, lambda q: .., lambda q: ..)`"


_SIGNS = {"and": "&", "or": "|", "not": "~"}
_USES = {"and": "`(a > 0) & b`", "or": "`(a > 0) | b`", "not": "`~a`"}


def _fail(mistake: Mistake) -> NoReturn:
    raise CompileError([mistake.diagnostic()])
