"""Names in the arms of a control construct: those they define and those they read.

With them a use outside of an arm can be told apart from a typo, and what only arms use is not called unused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from pipeline_dsl import syntax


def names_in(control: syntax.Control) -> Iterator[syntax.Ident]:
    """Every name that is defined below a construct, nested ones included."""
    if isinstance(control, syntax.Map):
        yield from (item.name for item in control.iters)
    if isinstance(control, syntax.Try) and control.error is not None:
        yield control.error
    for part in _parts(control):
        yield from names_in(part) if isinstance(part, syntax.If) else names_of(part)


def names_of(body: syntax.Body) -> Iterator[syntax.Ident]:
    """Every name that a body defines, those of its constructs included."""
    for statement in body.statements:
        if isinstance(statement, syntax.Assign):
            yield from (target.name for target in statement.targets)
            if isinstance(statement.value, syntax.Control):
                yield from names_in(statement.value)


def _parts(control: syntax.Control) -> list[syntax.Body | syntax.If]:
    """The arms of a construct."""
    match control:
        case syntax.If(body=body, orelse=orelse):
            return [body] if orelse is None else [body, orelse]
        case syntax.Match(cases=cases, default=default):
            return [*(case.body for case in cases), *([] if default is None else [default])]
        case syntax.Map(body=body):
            return [body]
        case syntax.Route(arms=arms):
            return [arm.body for arm in arms]
        case syntax.Try(body=body, fallback=fallback):
            return [body, fallback]


def below(root: syntax.Node) -> Iterator[syntax.Node]:
    """A construct and everything in it, in the order of the text."""
    todo: list[object] = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo += reversed(node)
        elif isinstance(node, syntax.Node):
            yield node
            todo += [getattr(node, f.name) for f in reversed(fields(node)) if f.name != "span"]
