"""One function for each question an editor asks about a text: views and offsets in, protocol values out. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from lsprotocol import types

from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.format import format_text
from pipeline_dsl.index import (
    Definition,
    Item,
    Occurrence,
    Shift,
    complete,
    folds,
    hints,
    hover,
    symbols,
)
from pipeline_dsl.source import Source, Span

from . import convert
from .documents import Document
from .project import View

TOKENS = {
    "module": "namespace",
    "import": "namespace",
    "const": "enumMember",
    "param": "enumMember",
    "type": "type",
    "stage": "function",
    "pipeline": "class",
    "profile": "class",
    "input": "parameter",
    "output": "property",
    "variable": "variable",
    "size": "typeParameter",
    "state": "variable",
}
"""Token type of each kind of definition."""
LEGEND = types.SemanticTokensLegend(sorted(set(TOKENS.values())), ["declaration", "readonly"])


def places(views: list[View], offset: int) -> Iterator[tuple[View, int]]:
    """The offset in each text that was analysed, where it has one there."""
    for view in views:
        old = view.shift.to_old(offset)
        if old is not None:
            yield view, old


def hover_at(document: Document, views: list[View], position: types.Position) -> types.Hover | None:
    """What is known of the word at a position."""
    for view, offset in places(views, document.lines.offset(position)):
        found = hover(view.analysis.index, offset)
        if found is not None:
            text, span = found
            return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, text), _new(document, view, span))
    return None


def _new(document: Document, view: View, span: Span) -> types.Range | None:
    """Where a span of an analysed text is now."""
    start, end = view.shift.to_new(span.start), view.shift.to_new(span.end)
    return None if start is None or end is None or end < start else document.lines.range(start, end)


def occurrence_at(document: Document, views: list[View], position: types.Position) -> Occurrence | None:
    """The name at a position."""
    for view, offset in places(views, document.lines.offset(position)):
        for found in view.analysis.index.at(offset):
            return found
    return None


def definition_at(
    document: Document, views: list[View], position: types.Position, encoding: str
) -> types.Location | None:
    """Where the name at a position is defined; an alias leads to what it stands for, a path to its file."""
    found = occurrence_at(document, views, position)
    if found is None:
        for view, offset in places(views, document.lines.offset(position)):
            file = view.analysis.index.import_at(offset)
            if file is not None:
                return convert.location(file.span, encoding)
        return None
    definition = found.definition.target or found.definition
    if definition.span.source.path != document.path:
        return convert.location(definition.span, encoding)
    for view in views:
        if view.analysis.index.source is definition.span.source:
            now = _new(document, view, definition.span)
            return None if now is None else types.Location(document.uri, now)
    return None


def highlights(document: Document, view: View, definition: Definition) -> list[types.DocumentHighlight]:
    """Every mention in this text."""
    ranges = [(_new(document, view, o.span), o.defines) for o in view.analysis.index.mentions(definition)]
    kinds = {True: types.DocumentHighlightKind.Write, False: types.DocumentHighlightKind.Read}
    return [types.DocumentHighlight(r, kinds[defines]) for r, defines in ranges if r is not None]


# ---- completion


def completions(document: Document, views: list[View], position: types.Position) -> types.CompletionList:
    """What may be written at a position: by the last analysis, then what only the last whole text knows."""
    offset = document.lines.offset(position)
    found: dict[str, Item] = {}
    whole = True
    for view in views:
        made = complete(view.analysis.index, document.text, offset, _declaration_before(view, offset), listed)
        for item in made.items:
            found.setdefault(item.label, item)
        whole = whole and made.whole
    items = [convert.completion(item, rank, position) for rank, item in enumerate(found.values())]
    return types.CompletionList(is_incomplete=not whole, items=items)


def _declaration_before(view: View, offset: int) -> int:
    """The start of a declaration at or before an offset of the text as it is now."""
    old = view.shift.near_old(offset)
    decl = view.analysis.index.declaration_at(old)
    start = None if decl is None else view.shift.to_new(decl.span.start)
    return start if start is not None and start <= offset else 0


def listed(folder: str) -> list[str]:
    """Names in a folder; those of folders end with `/`. Empty if it can not be read."""
    try:
        with os.scandir(folder or ".") as entries:
            return [f"{e.name}/" if e.is_dir() else e.name for e in entries if not e.name.startswith(".")]
    except (OSError, ValueError):
        return []


# ---- the whole text


def outline(document: Document, view: View) -> list[types.DocumentSymbol]:
    """The declarations of a text, which was analysed as it is."""
    return [convert.symbol(s, document.lines) for s in symbols(view.analysis.index.module)]


def foldings(document: Document) -> list[types.FoldingRange]:
    """What can be folded, from the text alone."""
    return [convert.folding(fold) for fold in folds(Source(document.path, document.text))]


def inlay_hints(document: Document, view: View, asked: types.Range) -> list[types.InlayHint]:
    """Types behind the names that are given one without saying it."""
    index, lines = view.analysis.index, document.lines
    start = view.shift.near_old(lines.offset(asked.start))
    end = view.shift.near_old(lines.offset(asked.end))
    found = []
    for hint in hints(index, start, max(end, start)):
        now = view.shift.to_new(hint.offset)
        if now is not None:
            found.append(types.InlayHint(lines.position(now), hint.text, kind=types.InlayHintKind.Type))
    return found


def formatted(document: Document) -> list[types.TextEdit] | None:
    """The formatter's layout as one edit of what differs; None for a text that does not parse."""
    text = document.text
    try:
        after = format_text(Source(document.path, text))
    except CompileError:
        return None
    if "\r\n" in text:
        after = after.replace("\n", "\r\n")
    if after == text:
        return []
    change = Shift(text, after)
    start, end = change.kept
    edit = types.TextEdit(document.lines.range(start, len(text) - end), after[start : len(after) - end])
    return [edit]


def code_actions(document: Document, view: View, asked: types.Range, encoding: str) -> list[types.CodeAction]:
    """The edits of mistakes that a range touches."""
    first, last = document.lines.offset(asked.start), document.lines.offset(asked.end)
    found = []
    for mistake in view.analysis.diagnostics:
        span = mistake.span
        here = span.source.path == document.path and span.start <= last and first <= span.end
        if not here or not mistake.edits:
            continue
        edits = convert.text_edits(mistake.edits, encoding)
        if set(edits) != {document.path}:
            continue
        found.append(
            types.CodeAction(
                title=convert.title(mistake),
                kind=types.CodeActionKind.QuickFix,
                diagnostics=[convert.diagnostic(mistake, encoding)],
                edit=types.WorkspaceEdit(changes={document.uri: edits[document.path]}),
                is_preferred=mistake.label.startswith("did you mean ") or None,
            )
        )
    return found


def semantic_tokens(document: Document, view: View) -> types.SemanticTokens:
    """What each name is, where the colours of the grammar can not know; by one line after another."""
    data: list[int] = []
    line = column = 0
    for occurrence, start, end in _named(view):
        at = document.lines.range(start, end)
        if at.start.line != at.end.line:
            continue
        if at.start.line != line:
            column = 0
        kind = LEGEND.token_types.index(TOKENS[occurrence.definition.kind])
        modifiers = int(occurrence.defines) | 2 * (occurrence.definition.kind in ("const", "param"))
        width = at.end.character - at.start.character
        data += [at.start.line - line, at.start.character - column, width, kind, modifiers]
        line, column = at.start.line, at.start.character
    return types.SemanticTokens(data)


def _named(view: View) -> Iterable[tuple[Occurrence, int, int]]:
    """Names that are where they were, in order, one for each place."""
    last = -1
    for occurrence in view.analysis.index.occurrences:
        span = occurrence.span
        start, end = view.shift.to_new(span.start), view.shift.to_new(span.end)
        if start is None or end is None or start <= last or occurrence.definition.kind not in TOKENS:
            continue
        last = start
        yield occurrence, start, end
