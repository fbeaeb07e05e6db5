"""Values of the index -> values of the protocol."""

from __future__ import annotations

from collections.abc import Iterable

from lsprotocol import types

from pipeline_dsl.diagnostics import Diagnostic, Edit, Severity
from pipeline_dsl.index import Change, Fold, Item, Symbol
from pipeline_dsl.source import Span

from .positions import Lines, span_range
from .uris import to_uri

_ITEMS = {
    "keyword": types.CompletionItemKind.Keyword,
    "name": types.CompletionItemKind.Variable,
    "function": types.CompletionItemKind.Function,
    "stage": types.CompletionItemKind.Method,
    "pipeline": types.CompletionItemKind.Class,
    "port": types.CompletionItemKind.Field,
    "setting": types.CompletionItemKind.Property,
    "word": types.CompletionItemKind.EnumMember,
    "type": types.CompletionItemKind.Struct,
    "module": types.CompletionItemKind.Module,
    "file": types.CompletionItemKind.File,
}
_SYMBOLS = {
    "module": types.SymbolKind.Module,
    "import": types.SymbolKind.Namespace,
    "const": types.SymbolKind.Constant,
    "param": types.SymbolKind.Constant,
    "type": types.SymbolKind.Struct,
    "stage": types.SymbolKind.Function,
    "pipeline": types.SymbolKind.Class,
    "profile": types.SymbolKind.Object,
    "input": types.SymbolKind.Field,
    "output": types.SymbolKind.Field,
    "variable": types.SymbolKind.Variable,
}


def location(span: Span, encoding: str) -> types.Location:
    """A span as a place in its file."""
    return types.Location(to_uri(span.source.path), span_range(span, encoding))


def diagnostic(found: Diagnostic, encoding: str) -> types.Diagnostic:
    """A mistake; its label, notes and help are lines of the message."""
    error = found.severity is Severity.ERROR
    unused = [types.DiagnosticTag.Unnecessary] if found.code == "W0201" else None
    related = [types.DiagnosticRelatedInformation(location(x.span, encoding), x.text) for x in found.labels]
    return types.Diagnostic(
        range=span_range(found.span, encoding),
        message=message(found),
        severity=types.DiagnosticSeverity.Error if error else types.DiagnosticSeverity.Warning,
        code=found.code,
        source="pipectl",
        tags=unused,
        related_information=related or None,
    )


def message(found: Diagnostic) -> str:
    """All that is said about a mistake but its places."""
    notes = [f"note: {note}" for note in found.notes]
    helps = [f"help: {found.help}"] if found.help else []
    return "\n".join(filter(None, (found.message, found.label, *notes, *helps)))


def title(found: Diagnostic) -> str:
    """What an edit does, for a menu."""
    guess = found.label.removeprefix("did you mean ").removesuffix("?")
    if found.label.startswith("did you mean "):
        return f"Write {guess}"
    text = found.help.partition("   (")[0] or found.message
    return text[:1].upper() + text[1:]


def text_edits(edits: Iterable[Edit | Change], encoding: str) -> dict[str, list[types.TextEdit]]:
    """Edits by the path of their file."""
    found: dict[str, list[types.TextEdit]] = {}
    for edit in edits:
        made = types.TextEdit(span_range(edit.span, encoding), edit.text)
        found.setdefault(edit.span.source.path, []).append(made)
    return found


def completion(item: Item, rank: int, position: types.Position) -> types.CompletionItem:
    """An item; items keep their order."""
    made = types.CompletionItem(
        label=item.label,
        kind=_ITEMS[item.kind],
        detail=item.detail or None,
        sort_text=f"{rank:04}",
        documentation=types.MarkupContent(types.MarkupKind.Markdown, item.doc) if item.doc else None,
        insert_text=item.insert or None,
    )
    if item.kind == "file":
        start = types.Position(position.line, position.character - item.behind)
        made.text_edit = types.TextEdit(types.Range(start, position), item.label)
    return made


def symbol(found: Symbol, lines: Lines) -> types.DocumentSymbol:
    """An entry of the outline with those below it."""
    return types.DocumentSymbol(
        name=found.name,
        kind=_SYMBOLS.get(found.kind, types.SymbolKind.Variable),
        range=lines.range(found.whole.start, found.whole.end),
        selection_range=lines.range(found.span.start, found.span.end),
        detail=found.detail or None,
        children=[symbol(below, lines) for below in found.below] or None,
    )


def folding(found: Fold) -> types.FoldingRange:
    """A fold; its lines count from 0 in the protocol."""
    kind = types.FoldingRangeKind.Comment if found.comment else types.FoldingRangeKind.Region
    return types.FoldingRange(found.first - 1, found.last - 1, kind=kind)
