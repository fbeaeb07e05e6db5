"""Calls: of functions of the language, and of stages and pipelines, which become nodes of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.errors.builder import OutsidePipeline
from pipeline_dsl.source import Span

from .declared import Uses
from .frames import current
from .parts import Part, bare, over, part, respanned
from .places import Place, caller
from .values import Derived, Value


class Word(Value):
    """A name of the language as a value; calling it makes a call: `Word("cuda")(0)` is `cuda(0)`."""

    __slots__ = ()

    def __init__(self, text: str, span: Span) -> None:
        super().__init__(Part(bare(text, span)))

    def __call__(self, *args: Any, **named: Any) -> Value:
        """The call of it."""
        return apply(self._part.expr, args, named, caller())


class Result(Value):
    """What a call of a stage or pipeline gives: `.port` takes one of several outputs."""

    __slots__ = ()

    def with_(self, **options: Any) -> Result:
        """The same call with options of its own: `stage(x).with_(timeout=pp.ms(50), priority=1)`."""
        place = caller()
        mine = self.__part__(None)
        assert isinstance(mine.expr, syntax.Call), "a result is made by a call"
        given, parts = arguments((), options, place)
        expr = syntax.Call(mine.expr.callee, mine.expr.args, (*mine.expr.options, *given), span=place.span)
        return Result(_as_call(over(expr, [mine, *parts])))


def arguments(
    args: Sequence[Any], named: dict[str, Any], place: Place
) -> tuple[tuple[syntax.Argument, ...], list[Part]]:
    """The arguments of a call, and their parts."""
    found: list[syntax.Argument] = []
    parts: list[Part] = []
    for i, value in enumerate(args):
        parts.append(part(value, place.argument(i)))
        found.append(syntax.Argument(None, parts[-1].expr, span=parts[-1].span))
    for name, value in named.items():
        span, where = place.entry(name)
        parts.append(part(value, where))
        found.append(syntax.Argument(syntax.Ident(name, span=span), parts[-1].expr, span=span))
    return tuple(found), parts


def apply(callee: syntax.Expr, args: Sequence[Any], named: dict[str, Any], place: Place) -> Derived:
    """A call of a function of the language."""
    given, parts = arguments(args, named, place)
    return Derived(over(syntax.Call(respanned(callee, place.span), given, span=place.span), parts))


def call(callee: syntax.Expr, uses: Uses, shown: str, args: Sequence[Any], named: dict[str, Any]) -> Result:
    """A call of a stage or pipeline: a node of the graph that is being built."""
    place = caller()
    if current() is None:
        raise CompileError([OutsidePipeline(place.span, shown).diagnostic()])
    given, parts = arguments(args, named, place)
    expr = syntax.Call(respanned(callee, place.span), given, span=place.span)
    return Result(_as_call(over(expr, [Part(callee, uses), *parts])))


def _as_call(made: Part) -> Part:
    made.calls = True
    made.frame = current()
    return made
