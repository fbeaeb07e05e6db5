"""Declarations to text."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.literals import quoted
from pipeline_dsl.syntax import Expr

from .dataflow import body_text
from .expressions import expression
from .settings import WIDTH, block_text, braces, default_text, item_text
from .types import type_text


def declaration_text(decl: syntax.Decl) -> str:
    """One declaration, its documentation above it; blanks are not final."""
    return _doc(decl) + _declaration(decl) + "\n"


def _declaration(decl: syntax.Decl) -> str:
    match decl:
        case syntax.Import():
            return f"import {quoted(decl.path)} as {decl.name}"
        case syntax.FromImport():
            return f"from {quoted(decl.path)} import " + ", ".join(map(_import_item, decl.items))
        case syntax.Const():
            type_ = f": {type_text(decl.type)}" if decl.type else ""
            return f"const {decl.name}{type_} = {expression(decl.value)}"
        case syntax.Param():
            constraints = f" {block_text(decl.constraints, wide=True)}" if decl.constraints else ""
            return f"param {decl.name}: {type_text(decl.type)}{default_text(decl.default)}{constraints}"
        case syntax.TypeAlias():
            return f"type {decl.name} = {type_text(decl.type)}"
        case syntax.Stage():
            return _stage(decl)
        case syntax.Pipeline():
            private = "private " if decl.private else ""
            head = f"{private}pipeline {decl.name}{_signature(decl.signature)}{_where(decl.where)}"
            return f"{head}\n{body_text(decl.body)}" if decl.where else f"{head} {body_text(decl.body)}"
        case syntax.Profile():
            extends = f" extends {', '.join(map(str, decl.extends))}" if decl.extends else ""
            return f"profile {decl.name}{extends} {braces(map(item_text, decl.items))}"


def _doc(node: syntax.Decl | syntax.Port) -> str:
    text = getattr(node, "doc", "")
    return "".join(f"## {line}".rstrip() + "\n" for line in text.split("\n")) if text else ""


def _import_item(item: syntax.ImportItem) -> str:
    return f"{item.name} as {item.alias}" if item.alias else str(item.name)


def _stage(stage: syntax.Stage) -> str:
    head = f"stage {stage.name}"
    if stage.signature is not None:
        head += _signature(stage.signature)
    elif stage.like is not None:
        head += f" like {stage.like}"
    block = f" {block_text(stage.block, wide=True)}" if stage.block is not None else ""
    return f"{head}{_where(stage.where)}\nusing {expression(stage.using)}{block}"


def _signature(signature: syntax.Signature) -> str:
    sides = [_ports(signature.inputs), _ports(signature.outputs)]
    text = " -> ".join(sides)
    documented = any(port.doc for port in (*signature.inputs, *signature.outputs))
    if len(text) <= WIDTH and not documented:
        return text
    return _ports(signature.inputs, wide=True) + " -> " + _ports(signature.outputs, wide=documented)


def _ports(ports: tuple[syntax.Port, ...], wide: bool = False) -> str:
    texts = [_doc(p) + f"{p.name}: {type_text(p.type)}{default_text(p.default)}" for p in ports]
    if wide and ports:
        return "(\n" + ",\n".join(texts) + ",\n)"
    return f"({', '.join(texts)})"


def _where(bounds: tuple[Expr, ...]) -> str:
    return "\nwhere " + ", ".join(map(expression, bounds)) if bounds else ""
