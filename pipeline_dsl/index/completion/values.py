"""Values in bodies: variables, stages, ports of calls, outputs behind a dot."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pipeline_dsl import syntax
from pipeline_dsl.check.scope import Scope
from pipeline_dsl.index.expressions import CALL_OPTIONS
from pipeline_dsl.index.index import Index
from pipeline_dsl.index.names import Callee, callee_in, module_of, public
from pipeline_dsl.index.shown import inline
from pipeline_dsl.operations import FUNCTIONS, OPERATIONS
from pipeline_dsl.settings import BACKENDS, MAP, TRY
from pipeline_dsl.unparse import type_text

from .context import Context, callee
from .items import Item, declared, given, inputs_of, item_of, key_item, outputs_of, port_item

_OPTIONS = {"with": tuple(CALL_OPTIONS.values()), "map": MAP, "try": TRY}
_CONTROL = ("if", "map", "match", "route", "try")
_CONSTANTS = ("true", "false", "null", "not")


def statement(index: Index, context: Context) -> Iterator[Item]:
    """The start of a statement, or an output behind `return`."""
    decl = _pipeline(index, context)
    if context.place != "return":
        yield Item("return", "keyword")
        if any(frame.opener == "{" for frame in context.frames[2:]):
            yield Item("yield", "keyword")
        return
    for port in decl.signature.outputs if decl else ():
        yield given(port_item(port))
    yield from expression(index, context)


def expression(index: Index, context: Context) -> Iterator[Item]:
    """A value: what is nearest first. Outside of pipelines, only what is known when the file is compiled."""
    if not _in_pipeline(context):
        yield from declared(index.scope, ("const", "param", "module", "import"))
        return
    yield from _variables(index, context)
    yield from declared(index.scope, ("stage", "pipeline", "const", "param", "module", "import"))
    if context.place == "right":
        yield from (Item(word, "keyword") for word in _CONTROL)
    yield from (Item(name, "function", doc=OPERATIONS[name].doc) for name in FUNCTIONS)
    yield from (Item(word, "keyword") for word in _CONSTANTS)


def _variables(index: Index, context: Context) -> Iterator[Item]:
    """What the lines above the cursor define, nearest first, and the inputs of the pipeline or sizes of a stage."""
    decl = _pipeline(index, context)
    types = types_of_variables(index, decl)
    for frame in reversed(context.frames):
        yield from (Item(name, "name", types.get(name, "")) for name in reversed(frame.made))
        yield from (Item(name, "name", types.get(name, "")) for name in _of_arm(frame.head))
    signature = decl.signature if decl else None
    for port in signature.inputs if signature else ():
        yield Item(port.name.text, "name", type_text(port.type), port.doc)


def _in_pipeline(context: Context) -> bool:
    """Whether stages can be called here; anywhere else a value is known when the file is compiled."""
    first = context.frames[1].head if len(context.frames) > 1 else ()
    return "pipeline" in (*context.frames[0].words[:2], *first[:2]) and len(context.frames) > 1


def _of_arm(head: tuple[str, ...]) -> Iterator[str]:
    """`x` of `map x in xs {`, `err` of `fallback err {`."""
    for before, word in pairwise(head):
        if word == "in" and "map" in head:
            yield before
        elif before == "fallback":
            yield word


def _pipeline(index: Index, context: Context) -> syntax.Pipeline | None:
    """The pipeline that the cursor is in, as it was when the text was indexed."""
    words = (*context.frames[0].words, *(context.frames[1].head if len(context.frames) > 1 else ()))
    name = words[words.index("pipeline") + 1] if "pipeline" in words[:2] and len(words) > 2 else ""
    found = callee_in(index.scope, name)
    return found.decl if found is not None and isinstance(found.decl, syntax.Pipeline) else None


def types_of_variables(index: Index, decl: syntax.Pipeline | None) -> dict[str, str]:
    """Types of a pipeline's variables by name; where arms share one, that of the first."""
    found: dict[str, str] = {}
    if decl is None:
        return found
    for region in index.regions:
        if decl.body.span.start <= region.span.start < decl.body.span.end:
            for name, variable in region.local.items():
                if variable.kind == "variable":
                    found.setdefault(name, inline(index.outcome(variable)))
    return found


# ---- calls


def callee_at(index: Index, words: tuple[str, ...]) -> Callee | None:
    """The stage or pipeline of some names joined by dots."""
    scope: Scope | None = index.scope
    for module in words[:-1]:
        scope = module_of(scope, module) if scope else None
    return callee_in(scope, words[-1]) if scope and words else None


def argument(index: Index, context: Context) -> Iterator[Item]:
    """Ports that are not given yet, then what may be their value."""
    if context.place == "using":
        spec = BACKENDS.get(context.words[-1]) if context.words else None
        for key in spec.arguments if spec else ():
            if key.name not in context.given:
                yield key_item(key.name, key)
    else:
        for port in inputs_of(callee_at(index, context.words)):
            if port.label not in context.given:
                yield given(port)
    yield from expression(index, context)


def option(index: Index, context: Context) -> Iterator[Item]:
    """Options of a call or a construct that are not given yet."""
    for spec in _OPTIONS[context.place]:
        if spec.name not in context.given:
            yield key_item(spec.name, spec)


def member(index: Index, context: Context) -> Iterator[Item]:
    """Names of a module, or outputs of the call behind a variable."""
    if context.place == "call":
        yield from outputs_of(callee_at(index, context.words))
        return
    if not context.words:
        return
    first = context.words[0]
    for frame in reversed(context.frames):
        if first in frame.made:
            made = frame.made[first]
            yield from outputs_of(callee_at(index, callee(made[:-1])) if made[-1:] == ("()",) else None)
            return
    module = module_of(index.scope, first)
    if module is not None:
        wanted = ("type",) if context.place == "type" else ("stage", "pipeline", "const", "param")
        yield from (item_of(d, d.name) for d in public(module) if (d.target or d).kind in wanted)
