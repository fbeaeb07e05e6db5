"""One thing that may be written next, and making it from a declaration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline_dsl import syntax
from pipeline_dsl.check.scope import Scope
from pipeline_dsl.index.definitions import Definition
from pipeline_dsl.index.hover import about_key
from pipeline_dsl.index.names import Callee, definition_in
from pipeline_dsl.settings import KeySpec
from pipeline_dsl.unparse import type_text

ItemKind = Literal[
    "keyword", "name", "function", "stage", "pipeline", "port", "setting", "word", "type", "module", "file"
]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may be written."""

    label: str
    kind: ItemKind
    detail: str = ""
    doc: str = ""
    insert: str = ""
    """What is written; "": the label."""
    behind: int = 0
    """Characters before the cursor that it takes the place of, where that is more than a word."""
    about: Definition | None = field(default=None, repr=False)
    """What detail and documentation are taken from if the item is shown."""


def declared(scope: Scope, kinds: tuple[str, ...]) -> Iterator[Item]:
    """The declarations and imports of a file that are, or stand for, one of some kinds."""
    for name in scope.names:
        definition = definition_in(scope, name)
        if definition is not None and (definition.target or definition).kind in kinds:
            yield item_of(definition, name)


def item_of(definition: Definition, name: str) -> Item:
    """A declaration as an item."""
    target = definition.target or definition
    kinds: dict[str, ItemKind] = {"stage": "stage", "pipeline": "pipeline", "type": "type", "module": "module"}
    return Item(name, kinds.get(target.kind, "name"), about=target)


def inputs_of(callee: Callee | None) -> list[Item]:
    """The ports of a call, as declared or as the lock file says."""
    if callee is None:
        return []
    if callee.locked is not None:
        return [Item(p.name, "port", str(p.type)) for p in callee.locked.inputs]
    return [port_item(p) for p in callee.inputs]


def outputs_of(callee: Callee | None) -> list[Item]:
    """The outputs of a call."""
    if callee is None:
        return []
    if callee.locked is not None:
        return [Item(p.name, "port", str(p.type)) for p in callee.locked.outputs]
    return [port_item(p) for p in callee.outputs]


def port_item(port: syntax.Port) -> Item:
    """A port as an item."""
    return Item(port.name.text, "port", type_text(port.type), port.doc)


def given(item: Item) -> Item:
    """A port that is given a value: `mask = `."""
    return replace(item, insert=f"{item.label} = ")


def described(item: Item) -> Item:
    """An item with what is said beside it; made for those that are shown only."""
    return item if item.about is None else replace(item, detail=_detail(item.about), doc=item.about.doc)


def _detail(definition: Definition) -> str:
    match definition.node:
        case syntax.Stage(signature=syntax.Signature() as signature) | syntax.Pipeline(signature=signature):
            return f"{_ports(signature.inputs)} -> {_ports(signature.outputs)}"
        case syntax.Stage(like=syntax.QName() as like):
            return f"like {like}"
        case syntax.Const(value=value):
            return f"const = {value.span.text}"
        case syntax.Param(type=written):
            return f"param: {type_text(written)}"
        case syntax.TypeAlias(type=written):
            return type_text(written)
        case syntax.Import(path=path):
            return path
    return definition.kind


def _ports(ports: tuple[syntax.Port, ...]) -> str:
    return "(" + ", ".join(f"{p.name}: {type_text(p.type)}" for p in ports) + ")"


def key_item(name: str, spec: KeySpec | None) -> Item:
    """A key of a table; of a block of keys where there is no spec."""
    if spec is None:
        return Item(name, "setting", "block")
    takes = " or ".join((*spec.words, *(() if spec.kind == "word" else (spec.kind,))))
    return Item(name, "setting", takes, about_key(spec), f"{name} = ")
