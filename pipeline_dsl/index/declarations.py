"""A file's declarations -> everything they define and mention."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.check.scope import Imported, ModuleBinding, Scope
from pipeline_dsl.settings import BACKENDS, foreign, tree

from .blocks import Place, backend_of, block_values, profile, settings
from .bodies import Around, body
from .definitions import Definition, Topic
from .expressions import expression, type_
from .found import Found
from .names import Callee, Names, definition_in, like_of, of_declaration, of_file, of_item, of_port, owner_text


def walk(scope: Scope) -> Found:
    """Everything in the file of a scope. Profiles come last: they name nodes of pipelines."""
    found = Found()
    decls = scope.module.decls
    for decl in sorted(decls, key=lambda d: isinstance(d, syntax.Profile)):
        names = Names(scope, decl.span)
        _declaration(decl, names, found)
    return found


def _declaration(decl: syntax.Decl, names: Names, found: Found) -> None:
    if isinstance(decl, syntax.FromImport):
        _from(decl, names.scope, found)
        return
    found.define(of_declaration(decl))
    match decl:
        case syntax.Import(path_span=path_span):
            target = names.scope.lookup(decl.name.text)
            if isinstance(target, ModuleBinding) and target.decl is decl:
                found.imports.append((path_span, of_file(target.scope.module.source)))
        case syntax.Const(type=written, value=value):
            if written is not None:
                type_(written, names, found)
            expression(value, names, found)
        case syntax.Param(type=written, default=default, constraints=constraints):
            type_(written, names, found)
            if default is not None:
                expression(default, names, found)
            if constraints is not None:
                block_values(constraints, names, found)
        case syntax.TypeAlias(type=written):
            type_(written, names, found)
        case syntax.Stage():
            _stage(decl, names, found)
        case syntax.Pipeline():
            _pipeline(decl, names, found)
        case syntax.Profile(extends=extends):
            for name in extends:
                base = names.scope.profiles.get(name.text)
                found.refer(name.span, of_declaration(base.decl) if base else None)
            profile(decl, names, found)


def _from(decl: syntax.FromImport, scope: Scope, found: Found) -> None:
    for item in decl.items:
        name = item.alias or item.name
        bound = scope.names.get(name.text)
        mine = isinstance(bound, Imported) and bound.item is item
        target = definition_in(bound.scope, bound.name) if isinstance(bound, Imported) and mine else None
        if isinstance(bound, Imported) and mine and not any(s is decl.path_span for s, _ in found.imports):
            found.imports.append((decl.path_span, of_file(bound.scope.module.source)))
        found.refer(item.name.span, target)
        if item.alias is not None or target is None:
            found.define(of_item(decl, item, target))


def _ports(signature: syntax.Signature, names: Names, found: Found) -> tuple[dict[str, Definition], ...]:
    """Inputs and outputs by name."""
    sides: tuple[dict[str, Definition], ...] = ({}, {})
    for ports, kind, side in ((signature.inputs, "input", sides[0]), (signature.outputs, "output", sides[1])):
        for port in ports:
            type_(port.type, names, found)
            if port.default is not None:
                expression(port.default, names, found)
            definition = of_port(port, "input" if kind == "input" else "output", names.owner)
            found.define(definition)
            side.setdefault(port.name.text, definition)
    return sides


def _where(where: tuple[syntax.Expr, ...], names: Names, found: Found) -> None:
    """Bounds are about the sizes of the signature."""
    inner = names.inner(names.span)
    inner.local.update(names.sizes)
    for clause in where:
        expression(clause, inner, found)


def _stage(decl: syntax.Stage, names: Names, found: Found) -> None:
    names.owner = owner_text(decl)
    if decl.signature is not None:
        _ports(decl.signature, names, found)
    elif decl.like is not None:
        _like(decl.like, names, found)
    _where(decl.where, names, found)
    _using(decl.using, names, found)
    if decl.block is not None:
        callee = Callee(decl, names.scope)
        settings(decl.block, Place(tree("contract", backend_of(decl)), names, callee), found)


def _like(name: syntax.QName, names: Names, found: Found) -> None:
    *modules, last = name.parts
    for part in modules:
        found.refer(part.span, definition_in(names.scope, part.text))
    target = like_of(name, names.scope)
    if target is not None:
        alias = definition_in(names.scope, last.text) if not modules else None
        found.refer(last.span, alias or of_declaration(target.decl))


def _using(using: syntax.Call, names: Names, found: Found) -> None:
    name = using.callee.text if isinstance(using.callee, syntax.Name) else ""
    spec = BACKENDS.get(name) or foreign(name)
    if name in BACKENDS:
        found.explain(Topic(using.callee.span, "backend", name))
    arguments = {argument.name: argument for argument in spec.arguments}
    for argument in using.args:
        known = arguments.get(argument.name.text) if argument.name else None
        if argument.name is not None and known is not None:
            found.explain(Topic(argument.name.span, "setting", known.name, known))
        if not (isinstance(argument.value, syntax.Name) and known and argument.value.text in known.words):
            expression(argument.value, names, found)


def _pipeline(decl: syntax.Pipeline, names: Names, found: Found) -> None:
    names.owner = owner_text(decl)
    inputs, outputs = _ports(decl.signature, names, found)
    _where(decl.where, names, found)
    region = names.inner(decl.body.span)
    region.local.update(inputs)
    body(decl.body, region, Around(outputs, {}), found)
