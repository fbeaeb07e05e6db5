"""The built-in functions of the language on symbolic values, and the words that settings use.

Each makes a call of the same name: `present(x)` is `present(x)`. Names that Python keeps for itself end in `_` here
and are `pp.len`, `pp.format` outside.
"""

from __future__ import annotations

from typing import Any

from pipeline_dsl import syntax

from .calls import Word, apply
from .parts import over, part
from .places import NOWHERE, caller
from .values import Derived, Value


def word(text: str) -> Word:
    """A bare word of the language: `pp.word("grpc")("host:8001")` is `grpc("host:8001")`."""
    return Word(text, caller().span)


def _call(name: str, *args: Any, **named: Any) -> Value:
    place = caller()
    return apply(syntax.Name(name, span=place.span), args, named, place)


# ---- values of a run


def present(x: Any) -> Value:
    """Whether an optional value is given: `pp.if_(pp.present(audio), ..)`."""
    return _call("present", x)


def select(condition: Any, a: Any, b: Any) -> Value:
    """`a` where the condition holds, else `b`; both are computed: `pp.select(n > 0, n, 1)`."""
    return _call("select", condition, a, b)


def coalesce(x: Any, other: Any) -> Value:
    """`x ?? other`: the other value where an optional is absent: `pp.coalesce(said, "")`."""
    place = caller()
    sides = [part(x, place.argument(0)), part(other, place.argument(1))]
    return Derived(over(syntax.Binary("??", sides[0].expr, sides[1].expr, span=place.span), sides))


def and_(a: Any, b: Any) -> Value:
    """Both conditions, like `a & b`: `pp.and_(n > 0, ok)`."""
    return _logic("and", a, b)


def or_(a: Any, b: Any) -> Value:
    """One of the conditions, like `a | b`: `pp.or_(n > 0, ok)`."""
    return _logic("or", a, b)


def not_(a: Any) -> Value:
    """The opposite, like `~a`: `pp.not_(ok)`."""
    place = caller()
    operand = part(a, place.argument(0))
    return Derived(over(syntax.Unary("not", operand.expr, span=place.span), [operand]))


def _logic(op: str, a: Any, b: Any) -> Value:
    place = caller()
    sides = [part(a, place.argument(0)), part(b, place.argument(1))]
    return Derived(over(syntax.Binary(op, sides[0].expr, sides[1].expr, span=place.span), sides))


def len_(x: Any) -> Value:
    """The size of the first dim: `pp.len(items)`."""
    return _call("len", x)


def format_(template: Any, **named: Any) -> Value:
    """A template with `{name}` filled in at run time: `pp.format("Hello {who}", who=name)`."""
    return _call("format", template, **named)


def join(items: Any, between: Any = None) -> Value:
    """Strings put together: `pp.join(hits, "\\n")`."""
    return _call("join", items) if between is None else _call("join", items, between)


def json_get(x: Any, path: Any) -> Value:
    """A field of JSON: `pp.json_get(body, "user.name")`."""
    return _call("json_get", x, path)


def cast(x: Any, dtype: Any) -> Value:
    """The value in another dtype: `pp.cast(n, f32)`."""
    return _call("cast", x, dtype)


def concat(*items: Any) -> Value:
    """Items of all along the first dim: `pp.concat(a, b)`."""
    return _call("concat", *items)


def stack(*items: Any) -> Value:
    """Equal values along a new first dim: `pp.stack(a, b)`."""
    return _call("stack", *items)


def reshape(x: Any, *dims: Any) -> Value:
    """The same items in other dims: `pp.reshape(x, 2, 3)`."""
    return _call("reshape", x, *dims)


def zeros(*dtype_and_dims: Any) -> Value:
    """An array of 0: `pp.zeros(f32, 2, 3)`; without arguments, the start of a state."""
    return _call("zeros", *dtype_and_dims)


def ones(*dtype_and_dims: Any) -> Value:
    """An array of 1: `pp.ones(f32, 2, 3)`."""
    return _call("ones", *dtype_and_dims)


def empty(dtype: Any) -> Value:
    """No items: `pp.empty(string)`."""
    return _call("empty", dtype)


def stream_of(*items: Any) -> Value:
    """A stream of the items: `pp.stream_of("sorry")`."""
    return _call("stream_of", *items)


def collect(stream: Any) -> Value:
    """All elements of a stream: `pp.collect(answer.text)`."""
    return _call("collect", stream)


def header(name: str) -> Value:
    """A header of the request: `pp.header("x-user")`."""
    return _call("header", name)


def sequence_start() -> Value:
    """Whether this request is the first of its sequence: `pp.sequence_start()`."""
    return _call("sequence_start")


def sequence_end() -> Value:
    """Whether this request is the last of its sequence: `pp.sequence_end()`."""
    return _call("sequence_end")


correlation_id = Word("correlation_id", NOWHERE)
"""The id of the sequence a request belongs to: `sequence=dict(id=pp.correlation_id)`."""
request_id = Word("request_id", NOWHERE)
"""The id of the request: `pp.request_id`."""


# ---- known when the pipeline is compiled


def env(name: str, default: Any = None) -> Value:
    """An environment variable, for defaults of params: `pp.env("MODELS", "/models")`."""
    return _call("env", name) if default is None else _call("env", name, default)


def lines(path: str) -> Value:
    """The lines of a file: `LABELS = pp.const("LABELS", pp.lines("labels.txt"))`."""
    return _call("lines", path)


# ---- words of settings

cpu = Word("cpu", NOWHERE)
"""The host: `device=pp.cpu`, or `device="cpu"`."""
reject = Word("reject", NOWHERE)
"""The ragged rule of a stage that takes equal sizes only: `ragged=dict(L=pp.reject)`."""


def cuda(index: int | list[int]) -> Value:
    """A GPU, or several: `device=pp.cuda(0)`, `device=pp.cuda([0, 1])`."""
    return _call("cuda", index)


def sim(index: int | list[int] = 0) -> Value:
    """A GPU that is simulated, or several, for tests on machines without one: `device=pp.sim()`."""
    return _call("sim", index)


def pad(value: Any = None, **named: Any) -> Value:
    """The ragged rule that fills rows up: `ragged=dict(L=pp.pad(0, buckets=[32, 64], mask="mask"))`.

    `mask` and `lengths` name ports that the runtime fills."""
    ports = {k: word(v) if isinstance(v, str) and k in ("mask", "lengths") else v for k, v in named.items()}
    return _call("pad", **ports) if value is None else _call("pad", value, **ports)


def pack(**named: Any) -> Value:
    """The ragged rule that puts rows end to end: `ragged=dict(L=pp.pack(offsets="cu"))`."""
    return _call("pack", **named)


def tensor(name: str, **named: Any) -> Value:
    """A tensor of the artifact in another layout: `tensors=dict(x=pp.tensor("data", permute=[0, 2, 3, 1]))`."""
    return _call("tensor", name, **named)
