"""Pipelines in Python: a function that is run once, on symbolic values, to build the graph.

    @pp.pipeline(out=dict(label=i64["*"]))
    def classify(p, image: f32["*", 3, 224, 224]):
        p.s = small(image)
        return dict(label=p.s.label)

The first parameter is the scope; the others are the inputs, with their types as annotations and their defaults. The
function's docstring documents the pipeline. A pipeline called in another one is inlined there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.source import Span

from .calls import Result, call
from .control import outs_of
from .declared import Declared, Fixed, Uses, merged
from .frames import Frame, entered
from .idents import ident
from .parts import Part
from .places import Definition, Place, caller, caller_frame, definition
from .scopes import Scope, define
from .settings import items_of
from .signatures import Port, bounds_of, port_of, ports_of
from .types import type_of

Function = Callable[..., Any]


class Node:
    """A call site of a pipeline, for profiles: `gpu[cascade.node("s")]`."""

    __slots__ = ("name", "pipeline")

    def __init__(self, pipeline_: Pipeline, name: str) -> None:
        self.pipeline = pipeline_
        self.name = name

    def __repr__(self) -> str:
        return f"<node {self.pipeline.name}.{self.name}>"


class Pipeline:
    """A built pipeline. Calling it in another pipeline inlines it there; `module` makes it runnable."""

    __slots__ = ("declared", "name")

    def __init__(self, name: str, declared: Declared) -> None:
        self.name = name
        self.declared = declared

    def __call__(self, *args: Any, **ports: Any) -> Result:
        """The pipeline as a part of the one that is being built."""
        expr = syntax.Name(self.name, span=caller().span)
        return call(expr, (self.declared,), f"pipeline `{self.name}`", args, ports)

    def node(self, name: str) -> Node:
        """One of its call sites: `gpu[cascade.node("s")].set(priority=1)`."""
        return Node(self, name)

    def __part__(self, place: Place | None) -> Part:
        expr = syntax.Name(self.name, span=caller().span if place is None else place.span)
        return Part(expr, (self.declared,))

    def __declared__(self) -> Declared:
        return self.declared

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"


def pipeline(
    *,
    out: Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
    name: str = "",
    private: bool = False,
    where: Sequence[Any] = (),
    doc: str = "",
    **settings: Any,
) -> Callable[[Function], Pipeline]:
    """Makes a pipeline of the function below it: `@pp.pipeline(out=dict(label=i64["*"]))`.

    out: outputs by name. inputs: their types, where annotations do not say them. name: else that of the function.
    private: not served by itself. where: bounds on sizes. settings: blocks of the body, `sequence=dict(id=..)`."""
    place = caller()
    frame = caller_frame()
    around = dict(frame.f_locals) if frame is not None else {}
    outputs, out_uses = ports_of(out, place.entry("out")[1])
    bounds, bound_uses = bounds_of(where, place.entry("where")[1])
    items, item_uses = _blocks(settings, place)

    def build(function: Function) -> Pipeline:
        here = definition(function)
        title = name or function.__name__
        types = dict(inputs) if inputs is not None else _annotated(function, around)
        made = [port_of(n, t, here.parameter(n), Place(here.parameter(n))) for n, t in types.items()]
        ports = tuple(tree for tree, _ in made)
        body, body_uses = _trace(title, function, ports, tuple(out), here)
        statements = (*items, *body)
        tree = syntax.Pipeline(
            private,
            ident(title, here.name),
            syntax.Signature(ports, outputs, span=here.line),
            bounds,
            syntax.Body(statements, span=here.line),
            doc or inspect.getdoc(function) or "",
            span=here.line,
        )
        uses = merged([*(uses for _, uses in made), out_uses, bound_uses, item_uses, body_uses])
        return Pipeline(title, Fixed(tree, uses))

    return build


def _blocks(settings: Mapping[str, Any], place: Place) -> tuple[tuple[syntax.Nested, ...], Uses]:
    """Blocks of the body. TypeError for what is no block: it belongs to a profile."""
    items, uses = items_of(settings, place, ())
    blocks = tuple(item for item in items if isinstance(item, syntax.Nested))
    if len(blocks) < len(items):
        name = next(name for name, value in settings.items() if not isinstance(value, Mapping))
        raise TypeError(f"`{name}` is set in a profile: profile[pipeline].set({name}=..)")
    return blocks, uses


def _trace(
    title: str, function: Function, ports: tuple[syntax.Port, ...], out: tuple[str, ...], here: Definition
) -> tuple[tuple[syntax.Statement, ...], Uses]:
    """Runs the function; the statements it made."""
    with entered(Frame(f"pipeline `{title}`", None, here.line)) as frame:
        values = {port.name.text: define(frame, port.name.text, port.name.span) for port in ports}
        result = function(Scope(frame), **values)
        outs, uses = outs_of(_by_name(title, result, out), Place(here.line))
    end = (syntax.Return(outs, span=_over(outs, here.line)),) if outs else ()
    return (*frame.statements, *end), merged([tuple(frame.uses), uses])


def _by_name(title: str, result: Any, out: tuple[str, ...]) -> Any:
    """What a function returned, by output: a mapping, one value, or a tuple in order."""
    if result is None or isinstance(result, Mapping):
        return result
    values = result if isinstance(result, tuple) else (result,)
    if len(values) != len(out):
        raise TypeError(f"pipeline `{title}` has the outputs {', '.join(out)}; return dict({out[0] if out else ''}=..)")
    return dict(zip(out, values))


def _over(outs: tuple[syntax.Out, ...], line: Span) -> Span:
    span = outs[0].span
    return span if span.source is line.source else line


def _annotated(function: Function, around: Mapping[str, Any]) -> dict[str, Port]:
    """Inputs from the parameters behind the scope."""
    found = list(inspect.signature(function).parameters.values())
    if not found:
        raise TypeError(f"`{function.__name__}` takes its scope first: def {function.__name__}(p, ..)")
    return {p.name: _input(p, function, around) for p in found[1:]}


def _input(parameter: inspect.Parameter, function: Function, around: Mapping[str, Any]) -> Port:
    kind = parameter.annotation
    if isinstance(kind, str):
        kind = eval(kind, function.__globals__, dict(around))  # `from __future__ import annotations` makes text
    variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY)
    if kind is parameter.empty or variadic:
        raise TypeError(f'input `{parameter.name}` of `{function.__name__}` needs a type: {parameter.name}: f32["*"]')
    port = kind if isinstance(kind, Port) else Port(type_of(kind))
    default = port.default if parameter.default is parameter.empty else parameter.default
    return Port(port.type, default, port.doc)
