"""The shape of a file: its symbols, what can be folded, and hints with the types of what is given a name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline_dsl import syntax
from pipeline_dsl.check.arms import below
from pipeline_dsl.reader.lexer import lexemes
from pipeline_dsl.source import Source, Span

from .definitions import Kind
from .index import Index
from .shown import inline

_LONGEST = 60
"""Characters of a hint."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """An entry of the outline."""

    kind: Kind
    name: str
    detail: str
    whole: Span
    span: Span
    below: tuple[Symbol, ...] = ()


def symbols(module: syntax.Module) -> list[Symbol]:
    """The declarations of a file in order, those with ports and variables with them."""
    return [s for decl in module.decls for s in _declaration(decl)]


def _declaration(decl: syntax.Decl) -> Iterator[Symbol]:
    match decl:
        case syntax.FromImport(items=items):
            for item in items:
                name = item.alias or item.name
                yield Symbol("import", name.text, decl.path, item.span, name.span)
        case syntax.Import():
            yield Symbol("module", decl.name.text, decl.path, decl.span, decl.name.span)
        case syntax.Const():
            yield Symbol("const", decl.name.text, "", decl.span, decl.name.span)
        case syntax.Param(type=written) | syntax.TypeAlias(type=written):
            kind: Kind = "param" if isinstance(decl, syntax.Param) else "type"
            yield Symbol(kind, decl.name.text, written.span.text, decl.span, decl.name.span)
        case syntax.Stage(signature=signature):
            inside = tuple(_ports(signature)) if signature else ()
            yield Symbol("stage", decl.name.text, "", decl.span, decl.name.span, inside)
        case syntax.Pipeline():
            detail = "private" if decl.private else ""
            inside = (*_ports(decl.signature), *_variables(decl.body))
            yield Symbol("pipeline", decl.name.text, detail, decl.span, decl.name.span, inside)
        case syntax.Profile():
            yield Symbol("profile", decl.name.text, "", decl.span, decl.name.span)


def _ports(signature: syntax.Signature) -> Iterator[Symbol]:
    for port in signature.inputs:
        yield Symbol("input", port.name.text, port.type.span.text, port.span, port.name.span)
    for port in signature.outputs:
        yield Symbol("output", port.name.text, port.type.span.text, port.span, port.name.span)


def _variables(body: syntax.Body) -> Iterator[Symbol]:
    for statement in body.statements:
        if isinstance(statement, syntax.Assign):
            for target in statement.targets:
                if target.name.text != "_":
                    yield Symbol("variable", target.name.text, "", statement.span, target.name.span)


# ---- folding


@dataclass(frozen=True, slots=True)
class Fold:
    """Lines, counted from 1, that can be folded into the first."""

    first: int
    last: int
    comment: bool = False


def folds(source: Source) -> list[Fold]:
    """Everything between brackets that is longer than a line, and runs of comments."""
    found: dict[int, Fold] = {}
    stack: list[int] = []
    comments: list[int] = []
    for lexeme in lexemes(source.text):
        if lexeme.kind == "NEWLINE":
            continue
        line = source.line_of(lexeme.start)
        if lexeme.kind == "COMMENT" and not source.text[source.line_starts[line - 1] : lexeme.start].strip():
            comments.append(line)
            continue
        _comments(comments, found)
        if lexeme.text in ("{", "(", "["):
            stack.append(line)
        elif lexeme.text in ("}", ")", "]") and stack:
            first = stack.pop()
            if line - 1 > first:
                found.setdefault(first, Fold(first, line - 1))
    _comments(comments, found)
    return sorted(found.values(), key=lambda f: f.first)


def _comments(lines: list[int], found: dict[int, Fold]) -> None:
    """Two comment lines or more, one below the other."""
    start = 0
    for i in range(1, len(lines) + 1):
        if i == len(lines) or lines[i] != lines[i - 1] + 1:
            if i - start > 1:
                found.setdefault(lines[start], Fold(lines[start], lines[i - 1], comment=True))
            start = i
    lines.clear()


# ---- hints


@dataclass(frozen=True, slots=True)
class Hint:
    """A type shown behind a name."""

    offset: int
    text: str


def hints(index: Index, start: int, end: int) -> Iterator[Hint]:
    """The types of targets without one, between two offsets."""
    for decl in index.module.decls:
        if not isinstance(decl, syntax.Pipeline) or decl.span.end < start or decl.span.start > end:
            continue
        for node in below(decl.body):
            if isinstance(node, syntax.Target) and node.type is None and start <= node.span.start <= end:
                name = node.name.span
                text = inline(index.outcomes.get((name.source.path, name.start)))
                if text:
                    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 2] + ".."
                    yield Hint(name.end, f": {shown}")
