"""Renaming: whether it may be, and what changes in each place that mentions a name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline_dsl import syntax
from pipeline_dsl.check.scope import Scope
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.literals import is_name
from pipeline_dsl.reader.layout import MAX_NAME
from pipeline_dsl.reader.reserved import RESERVED
from pipeline_dsl.source import Span

from .definitions import Definition, Occurrence
from .index import Index
from .names import Callee, definition_in, signature_of


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a name can not be changed, or not to this."""

    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """A place and what is written there."""

    span: Span
    text: str


def renamed_at(index: Index, offset: int) -> Occurrence | Refused:
    """What a rename at an offset would rename."""
    for occurrence in index.at(offset):
        if occurrence.definition.kind == "file":
            continue
        return occurrence
    topic = index.topic_at(offset)
    if topic is not None:
        return Refused(f"`{topic.name}` is a word of the language")
    return Refused("there is no name here")


def refusal(definition: Definition, new: str, indexes: Iterable[Index]) -> Refused | None:
    """Why a definition can not be called that; None if it can. `indexes`: of all files that mention it."""
    if not is_name(new) or len(new) > MAX_NAME:
        return Refused(f"`{new}` is no name: letters, digits and `_`, and no digit first")
    if new in RESERVED:
        return Refused(f"`{new}` is a reserved word; write e.g. `{new}_`")
    if new == "_" and definition.kind != "variable":
        return Refused("`_` stands for a variable that is not needed, not for a name")
    if definition.kind == "type" and new in DTYPES:
        return Refused(f"`{new}` is a dtype")
    if new == definition.name:
        return None
    for index in indexes:
        taken = _taken(definition, new, index)
        if taken is not None:
            at = taken.span
            return Refused(f"`{new}` is taken: {taken.kind} in {at.source.path}, line {at.line}")
    return None


def changes(definition: Definition, new: str, indexes: Iterable[Index]) -> list[Change]:
    """What is written where, in all files, each place once."""
    found = {}
    for index in indexes:
        for occurrence in index.mentions(definition):
            span = occurrence.span
            found[span.source.path, span.start] = Change(span, occurrence.form.format(new))
    return list(found.values())


def _taken(definition: Definition, new: str, index: Index) -> Definition | None:
    """What has the new name already, where the definition or a mention of it would meet it."""
    mentions = index.mentions(definition)
    if not mentions:
        return None
    match definition.kind:
        case "output":
            return next(_ports(definition, new, index, outputs=True), None)
        case "input":
            port = next(_ports(definition, new, index, outputs=False), None)
            return port or _seen(mentions, new, index)
        case "profile":
            return next((d for d in index.defined() if d.kind == "profile" and d.name == new), None)
        case "size":
            sizes = (d for d in index.defined() if d.kind == "size" and d.owner == definition.owner)
            return next((d for d in sizes if d.name == new), None) or _value(index.scope, new)
        case "state":
            return None
        case "variable":
            return _seen(mentions, new, index)
    return _declared(definition, new, index) or _seen(mentions, new, index)


def _declared(definition: Definition, new: str, index: Index) -> Definition | None:
    """A declaration of that name, in a file where the definition has its own name."""
    own = definition_in(index.scope, definition.name)
    return definition_in(index.scope, new) if own == definition else None


def _seen(mentions: list[Occurrence], new: str, index: Index) -> Definition | None:
    """A variable that would hide the new name, or be hidden by it, or a declaration that it would hide."""
    for occurrence in mentions:
        region = index.region_at(occurrence.span.start)
        if region is None:
            continue
        found = region.local_definition(new)
        if found is not None and found.kind in ("variable", "input"):
            return found
        if occurrence.defines:
            inner = _below(region.span, new, index)
            if inner is not None:
                return inner
            if occurrence.definition.kind == "variable":
                hidden = definition_in(index.scope, new)
                used = any(o.definition == hidden for o in index.occurrences if _inside(o.span, region.span))
                if hidden is not None and used:
                    return hidden
    return None


def _below(span: Span, new: str, index: Index) -> Definition | None:
    """A variable of an arm below a region."""
    inner = (r for r in index.regions if _inside(r.span, span))
    return next((r.local[new] for r in inner if new in r.local), None)


def _inside(span: Span, outer: Span) -> bool:
    return span.source.path == outer.source.path and outer.start <= span.start and span.end <= outer.end


def _value(scope: Scope, new: str) -> Definition | None:
    found = definition_in(scope, new)
    return found if found is not None and found.kind in ("const", "param") else None


def _ports(definition: Definition, new: str, index: Index, *, outputs: bool) -> Iterator[Definition]:
    """Ports on the same side of the same signature."""
    for decl in index.module.decls:
        if not isinstance(decl, syntax.Stage | syntax.Pipeline):
            continue
        signature = signature_of(Callee(decl, index.scope))
        ports = (signature.outputs if outputs else signature.inputs) if signature else ()
        if any(p is definition.node for p in ports):
            kind = "output" if outputs else "input"
            for port in ports:
                if port.name.text == new:
                    yield Definition("output" if kind == "output" else "input", new, port.name.span, port.span, port)
