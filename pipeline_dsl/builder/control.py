"""Control constructs in Python, one for each of the text: `if_ match_ map_ route_ try_`.

Each takes functions for its bodies. A body gets a scope of its own as its first argument and returns what `yield`
gives: a value, or a tuple of values. What a construct gives needs a name: `p.x = pp.if_(..)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.errors.builder import ConstructInside, OutsidePipeline
from pipeline_dsl.source import Span

from .calls import Word, arguments
from .declared import Uses, merged
from .frames import Frame, current, entered
from .parts import Expressible, Part, part
from .places import Place, caller, definition
from .scopes import Control, Scope, define

Body = Callable[..., Any]
_WORDS = {"order": ("keep", "any"), "on_error": ("fail", "mark", "drop")}


def if_(condition: Any, then: Body, else_: Body | Control | None = None) -> Control:
    """One of two bodies: `p.x = pp.if_(s.conf > 0.9, lambda q: s.label, lambda q: big(img).label)`.

    else_: a body; another `if_`, for `else if`; or nothing, and the results are optional."""
    making = _Making("if_")
    tree = syntax.If(
        making.part(condition, 0), making.body(then), making.other(else_) if else_ else None, span=making.span
    )
    return making.done(tree)


def match_(subject: Any, cases: Mapping[Any, Body], else_: Body | None = None) -> Control:
    """A body for a value: `p.x = pp.match_(verdict, {("ok", "unsure"): answer, "bad": refuse}, other)`."""
    making = _Making("match_")
    value = making.part(subject, 0)
    arms = []
    for key, body in cases.items():
        given = key if isinstance(key, tuple) else (key,)
        exprs = tuple(making.part(one, 1) for one in given)
        arms.append(syntax.Case(exprs, making.body(body), span=making.span))
    tree = syntax.Match(value, tuple(arms), making.body(else_) if else_ else None, span=making.span)
    return making.done(tree)


def map_(body: Body, /, **given: Any) -> Control:
    """A body for each row: `p.labels = pp.map_(lambda q, box: classify(box).label, box=boxes, max=100)`.

    Arguments that the body has a parameter for are its sources, all others are options."""
    making = _Making("map_")
    names = _parameters(body)
    missing = [name for name in names if name not in given]
    if missing:
        raise TypeError(f"`map_` has no source for `{missing[0]}`: pp.map_(body, {missing[0]}=..)")
    options = making.options({name: value for name, value in given.items() if name not in names})
    iters = []
    for name in (name for name in given if name in names):
        span, place = making.place.entry(name)
        source = making.take(part(given[name], place))
        iters.append(syntax.Iter(syntax.Ident(name, span=span), source, span=span))
    tree = syntax.Map(options, tuple(iters), making.body(body, [i.name for i in iters]), span=making.span)
    return making.done(tree)


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm of `route_`."""

    name: str
    body: Body
    share: Any
    shadow: bool
    place: Place


def arm(name: str, body: Body, *, weight: Any) -> Arm:
    """An arm of `route_`: `pp.arm("canary", lambda q: ranker.at(4)(x), weight=pp.percent(10))`."""
    if weight is None:
        raise TypeError(f"the arm `{name}` needs a weight: pp.arm({name!r}, body, weight=pp.percent(50))")
    return Arm(name, body, weight, False, caller())


def shadow(name: str, body: Body, *, sample: Any = None) -> Arm:
    """An arm that runs beside the others and whose results are dropped: `pp.shadow("next", body, sample=..)`."""
    return Arm(name, body, sample, True, caller())


def route_(*arms: Arm, by: Any = None) -> Control:
    """One of several arms by weight: `p.y = pp.route_(pp.arm(..), pp.shadow(..), by=user)`.

    by: requests with equal values take the same arm."""
    making = _Making("route_")
    key = None if by is None else making.take(part(by, making.place.entry("by")[1]))
    return making.done(syntax.Route(key, tuple(_arm(making, one) for one in arms), span=making.span))


def _arm(making: _Making, one: Arm) -> syntax.RouteArm | syntax.ShadowArm:
    ident = syntax.Ident(one.name, span=one.place.argument(0).span)
    share = None
    if one.share is not None:
        share = making.take(part(one.share, one.place.entry("sample" if one.shadow else "weight")[1]))
    body = making.body(one.body)
    if one.shadow:
        return syntax.ShadowArm(ident, share, body, span=one.place.span)
    assert share is not None, "`arm` asks for a weight"
    return syntax.RouteArm(ident, share, body, span=one.place.span)


def try_(body: Body, /, *, fallback: Body, **options: Any) -> Control:
    """A body, and another for its failure: `p.x = pp.try_(lambda q: f(x).y, timeout=pp.ms(80), fallback=other)`.

    The fallback may take the error as a second argument."""
    making = _Making("try_")
    given = making.options(options)
    tried = making.body(body)
    names = [syntax.Ident(name, span=making.span) for name in _parameters(fallback)[:1]]
    tree = syntax.Try(given, tried, names[0] if names else None, making.body(fallback, names), span=making.span)
    return making.done(tree)


class _Making:
    """A construct that is being built: where, and what it needs."""

    def __init__(self, word: str) -> None:
        frame = current()
        self.word = word
        self.place = caller()
        self.span = _word_span(self.place.span, word)
        if frame is None:
            raise CompileError([OutsidePipeline(self.place.span, f"`{word}`").diagnostic()])
        self.frame = frame
        self.uses: list[Uses] = []

    def part(self, value: Any, index: int) -> syntax.Expr:
        """The expression of a positional argument."""
        return self.take(part(value, self.place.argument(index)))

    def take(self, made: Part) -> syntax.Expr:
        """An expression whose needs become those of the construct."""
        self.uses.append(made.uses)
        return made.expr

    def options(self, given: Mapping[str, Any]) -> tuple[syntax.Argument, ...]:
        """`(max = 100, order = keep)`"""
        words = {name: _word(name, value, self.span) for name, value in given.items()}
        found, parts = arguments((), words, self.place)
        self.uses += [p.uses for p in parts]
        return found

    def body(self, function: Body, names: Sequence[syntax.Ident] = ()) -> syntax.Body:
        """What a function builds in a scope of its own."""
        if not callable(function):
            raise TypeError(f"`{self.word}` takes functions for its bodies: lambda q: .., found {function!r:.60}")
        span = definition(function).line
        with entered(Frame(f"a body of `{self.word}`", self.frame, span)) as frame:
            values = [define(frame, name.text, name.span) for name in names]
            result = function(Scope(frame), *values)
            outs, uses = outs_of(result, Place(span))
        frame.uses |= dict.fromkeys(uses)
        self.uses.append(tuple(frame.uses))
        end = (syntax.Yield(outs, span=span),) if outs else ()
        return syntax.Body((*frame.statements, *end), span=span)

    def other(self, given: Body | Control) -> syntax.Body | syntax.If:
        """What stands behind `else`."""
        if not isinstance(given, Control):
            return self.body(given)
        if not isinstance(given.tree, syntax.If):
            raise CompileError([ConstructInside(given.span, given.word).diagnostic()])
        given.spent = self.span
        self.uses.append(given.uses)
        return given.tree

    def done(self, tree: syntax.Control) -> Control:
        """The construct, which now waits for its name."""
        made = Control(tree, merged(self.uses), self.word, self.frame)
        self.frame.pending.append(made)
        return made


def outs_of(result: Any, place: Place) -> tuple[tuple[syntax.Out, ...], Uses]:
    """What a body gives: nothing, a value, a tuple of values, or values by name."""
    if result is None:
        return (), ()
    made: list[tuple[str | None, Part]]
    if isinstance(result, Mapping):
        made = [(str(name), _out(value, place)) for name, value in result.items()]
    else:
        every = result if isinstance(result, tuple) else (result,)
        made = [(None, _out(value, place)) for value in every]
    outs = tuple(syntax.Out(_out_name(name, p), p.expr, span=p.span) for name, p in made)
    return outs, merged(p.uses for _, p in made)


def _out(value: Any, place: Place) -> Part:
    if isinstance(value, Control):
        value.spent = value.span
        raise CompileError([ConstructInside(value.span, value.word).diagnostic()])
    return value.__part__(None) if isinstance(value, Expressible) else part(value, place)


def _out_name(name: str | None, made: Part) -> syntax.Ident | None:
    """`return x` is short for `return x = x`."""
    if name is None or (isinstance(made.expr, syntax.Name) and made.expr.text == name):
        return None
    return syntax.Ident(name, span=made.span)


def _parameters(function: Body) -> list[str]:
    """Names of a body's parameters behind its scope."""
    return list(inspect.signature(function).parameters)[1:]


def _word(name: str, value: Any, span: Span) -> Any:
    return Word(value, span) if isinstance(value, str) and value in _WORDS.get(name, ()) else value


def _word_span(span: Span, word: str) -> Span:
    """Without what stands before the word, so that `pp.if_(..)` is marked at `if_`."""
    at = span.text.find(f"{word}(")
    return span if at < 0 else Span(span.source, span.start + at, span.end)
