"""Rules of the module and its declarations."""

from __future__ import annotations

from pipeline_dsl import syntax

from .rules import Children, Edition, Group, Parsed, after, first, ident, items, names, nodes, over, rule


@rule("start")
def _start(c: Children) -> Parsed:
    edition = first(c, Edition)
    return Parsed(edition, tuple(d for d in nodes(c) if d is not edition))


@rule("edition")
def _edition(c: Children) -> Edition:
    return Edition(c[1].value, over(c))


@rule("import_decl")
def _import(c: Children) -> syntax.Import:
    return syntax.Import(c[1].value, c[1].span, ident(c[3]), span=over(c))


@rule("from_import")
def _from_import(c: Children) -> syntax.FromImport:
    return syntax.FromImport(c[1].value, c[1].span, nodes(c), span=over(c))


@rule("import_item")
def _import_item(c: Children) -> syntax.ImportItem:
    return syntax.ImportItem(ident(c[0]), ident(c[2]) if len(c) > 1 else None, span=over(c))


@rule("const_decl")
def _const(c: Children) -> syntax.Const:
    type_ = c[3] if len(c) > 4 else None
    return syntax.Const(ident(c[1]), type_, c[-1], c[0].doc, span=over(c))


@rule("param_decl")
def _param(c: Children) -> syntax.Param:
    constraints = first(c, syntax.Block)
    return syntax.Param(ident(c[1]), c[3], after(c, "EQUAL"), constraints, c[0].doc, span=over(c))


@rule("type_decl")
def _type_alias(c: Children) -> syntax.TypeAlias:
    return syntax.TypeAlias(ident(c[1]), c[3], c[0].doc, span=over(c))


@rule("stage_decl")
def _stage(c: Children) -> syntax.Stage:
    return syntax.Stage(
        ident(c[1]),
        first(c, syntax.Signature),
        first(c, syntax.QName),
        items(first(c, Group)),
        after(c, "USING"),
        first(c, syntax.Block),
        c[0].doc,
        span=over(c),
    )


@rule("pipeline_decl")
def _pipeline(c: Children) -> syntax.Pipeline:
    private = c[0].type == "PRIVATE"
    signature = next(x for x in c if isinstance(x, syntax.Signature))
    name = ident(c[2] if private else c[1])
    where = items(first(c, Group))
    return syntax.Pipeline(private, name, signature, where, c[-1], c[0].doc, span=over(c))


@rule("profile_decl")
def _profile(c: Children) -> syntax.Profile:
    name, *extends = names(c)
    return syntax.Profile(name, tuple(extends), c[-1].items, c[0].doc, span=over(c))
