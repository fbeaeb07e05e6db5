"""The scope of a body: `p.s = small(img)` gives a node its name, `p.s` is its value.

    h = p.let("h", encoder(ids), h=f32["*", 384])     # with a checked type
    a, b = p.let("a, b", detect(image))               # several results

Names are those of the text, and each is given once. Inner bodies see the names of outer ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.errors.builder import OtherScope, UsedTwice
from pipeline_dsl.errors.flow import SecondAssignment
from pipeline_dsl.errors.names import UnknownName
from pipeline_dsl.literals import is_name
from pipeline_dsl.source import Span

from .declared import Uses
from .frames import Frame, current
from .idents import ident
from .parts import Part, part
from .places import Place, caller
from .types import Type, type_of
from .values import Derived, Value


@dataclass(slots=True, eq=False)
class Control:
    """What `if_`, `map_`, .. give: it stands right of a name, and nowhere else."""

    tree: syntax.Control
    uses: Uses
    word: str
    frame: Frame
    spent: Span | None = None

    @property
    def span(self) -> Span:
        return self.tree.span

    def shown(self) -> str:
        """Its spelling in messages."""
        return f"{self.word}(..)"


class Scope:
    """The names of one body."""

    __slots__ = ("_frame",)
    _frame: Frame

    def __init__(self, frame: Frame) -> None:
        object.__setattr__(self, "_frame", frame)

    def let(self, names: str, value: Any, /, **types: Any) -> Any:
        """Names the results of a call or construct: `a, b = p.let("a, b", f(x))`; one name gives one value.

        types: annotations by name, checked as in `h: f32[*, 384] = ..`."""
        place = caller()
        words = [word.strip() for word in names.split(",")]
        targets = [_target(word, types.pop(word, None), place) for word in words]
        if types:
            raise TypeError(f"`let` names {names!r}, not `{next(iter(types))}`")
        values = _assign(self._frame, targets, value, place.span, place.argument(1))
        return values[0] if len(values) == 1 else values

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("let", "_frame"):
            raise AttributeError(f"`p.{name}` is taken; write p[{name!r}] = ..")
        self[name] = value

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __setitem__(self, name: str, value: Any) -> None:
        place = caller()
        end = place.span.end
        span = Span(place.span.source, end - len(name), end) if place.span.text.endswith(name) else place.span
        target = ident(name, span)
        _assign(self._frame, [_Named(syntax.Target(target, None, span=span))], value, place.span, None)

    def __getitem__(self, name: str) -> Value:
        span = caller().span
        owner = self._frame.find(name)
        if owner is None:
            raise CompileError([UnknownName(span, name, self._frame.known()).diagnostic()])
        return _named(name, span, owner)

    def __dir__(self) -> Iterable[str]:
        return sorted({"let", *self._frame.known()})

    def __repr__(self) -> str:
        return f"<scope of {self._frame.title}: {', '.join(self._frame.known())}>"


def define(frame: Frame, name: str, span: Span) -> Value:
    """A name that the body is given: an input, an element, an error."""
    frame.names[name] = span
    return _named(name, span, frame)


@dataclass(frozen=True, slots=True)
class _Named:
    tree: syntax.Target
    uses: Uses = ()


def _named(name: str, span: Span, frame: Frame) -> Value:
    return Derived(Part(syntax.Name(name, span=span), (), frame))


def _target(name: str, type_: Any, place: Place) -> _Named:
    if not is_name(name):
        raise ValueError(f'names are letters, digits and `_`: p.let("a, b", f(x)), found {name!r}')
    span = place.argument(0).span
    made = ident(name, span)
    if type_ is None:
        return _Named(syntax.Target(made, None, span=span))
    annotation: Type = type_of(type_)
    return _Named(syntax.Target(made, annotation.at(place.entry(name)[1].span), span=span), annotation.uses)


def _assign(frame: Frame, targets: Sequence[_Named], value: Any, span: Span, place: Place | None) -> tuple[Value, ...]:
    for target in targets:
        _check_name(frame, target.tree.name)
    tree, uses = _right_side(frame, value, span, place)
    whole = span.to(tree.span) if tree.span.source is span.source and tree.span.start > span.end else span
    frame.statements.append(syntax.Assign(tuple(t.tree for t in targets), tree, span=whole))
    for one in (uses, *(t.uses for t in targets)):
        frame.uses |= dict.fromkeys(one)
    for target in targets:
        if target.tree.name.text != "_":
            frame.names[target.tree.name.text] = target.tree.name.span
    if isinstance(value, Value) and len(targets) == 1:
        _bind(value, targets[0].tree.name, frame)
    return tuple(_named(t.tree.name.text, t.tree.name.span, frame) for t in targets)


def _check_name(frame: Frame, name: syntax.Ident) -> None:
    here = current()
    if here is not frame:
        where = "" if here is None or not here.sees(frame) else here.title
        raise CompileError([OtherScope(name.span, name.text, frame.title, where).diagnostic()])
    first = frame.names.get(name.text)
    if first is not None:
        raise CompileError([SecondAssignment(name.span, name.text, first).diagnostic()])


def _right_side(frame: Frame, value: Any, span: Span, place: Place | None) -> tuple[syntax.Rhs, Uses]:
    if isinstance(value, Control):
        if value.spent is not None:
            raise CompileError([UsedTwice(span, value.shown(), value.spent).diagnostic()])
        if value.frame is not frame:
            raise CompileError([OtherScope(span, value.shown(), value.frame.title, frame.title).diagnostic()])
        value.spent = span
        return value.tree, value.uses
    if isinstance(value, tuple):
        raise TypeError('several values have several names: name each, or p.let("a, b", call)')
    made = value.__part__(place) if isinstance(value, Value) else part(value, place or Place(span))
    return made.expr, made.uses


def _bind(value: Value, name: syntax.Ident, frame: Frame) -> None:
    """From here on the value goes by its name, also where Python holds it in a variable: `s = p.s = f(x)`."""
    made = value._part
    if name.text == "_" or made.frame is None or isinstance(made.expr, syntax.Name):
        return
    made.expr = syntax.Name(name.text, span=name.span)
    made.uses, made.frame, made.calls, made.depth = (), frame, False, 1
