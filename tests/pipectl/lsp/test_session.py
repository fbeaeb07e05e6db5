"""What an editor does, over real stdin and stdout."""

from __future__ import annotations

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from .editor import Editor, applied, at

LIBRARY = """pipe 1

## Splits a text.
stage encode(
  ## One sentence.
  text: string[*],
) -> (ids: i64[*, ~L], mask: i64[*, ~L]) using python("m:encode")
"""
MAIN = """pipe 1

from "lib.pipe" import encode

stage pool(ids: i64[*, ~L], mask: i64[*, ~L]) -> (vec: f32[*, 4]) using python("m:pool") { ragged { L = pad(0) } }

pipeline embed(text: string[*]) -> (vec: f32[*, 4]) {
  ids, mask = encode(text)
  return vec = pool(ids, mask)
}
"""


@pytest.fixture
def library(editor: Editor) -> Editor:
    (editor.folder / "lib.pipe").write_text(LIBRARY)
    return editor


# ---- mistakes


def test_mistakes_are_told_and_taken_back(editor: Editor) -> None:
    editor.open("main.pipe", MAIN)
    first = editor.mistakes("main.pipe")
    assert [d.code for d in first] == ["E0101"]
    assert first[0].severity is types.DiagnosticSeverity.Error
    assert first[0].range.start == types.Position(2, 5)
    assert "can not find `lib.pipe`" in first[0].message
    (editor.folder / "lib.pipe").write_text(LIBRARY)
    editor.change("main.pipe", MAIN + "\n")
    assert editor.mistakes("main.pipe") == []


def test_a_mistake_has_its_advice_and_the_other_place(library: Editor) -> None:
    library.open("main.pipe", MAIN.replace("  return", "  ids = encode(text).ids\n  return"))
    (found,) = library.mistakes("main.pipe")
    assert found.code == "E0203"
    assert found.message.endswith("help: use another name: each name is assigned once")
    assert found.related_information is not None
    assert found.related_information[0].location.range.start == types.Position(7, 2)


def test_what_is_unused_is_marked_so(library: Editor) -> None:
    library.open("main.pipe", MAIN.replace("  return", "  n = 1\n  return"))
    (found,) = library.mistakes("main.pipe")
    assert (found.code, list(found.tags or ())) == ("W0201", [types.DiagnosticTag.Unnecessary])


def test_mistakes_of_an_imported_file_are_told_there(library: Editor) -> None:
    broken = LIBRARY.replace("i64[*, ~L])", "i63[*, ~L])")
    (library.folder / "lib.pipe").write_text(broken)
    library.open("main.pipe", MAIN)
    assert library.codes("lib.pipe", is_open=False) == ["E0103"]
    library.published.clear()
    library.wrote("lib.pipe", LIBRARY)
    assert library.codes("lib.pipe", is_open=False) == []


def test_the_server_asks_to_be_told_of_files(library: Editor) -> None:
    library.hover("main.pipe", MAIN.replace("  ids,", "  i|ds,"))  # an answer: what comes before it has arrived
    ((registration,),) = [params.registrations for params in library.registered]
    assert registration.method == types.WORKSPACE_DID_CHANGE_WATCHED_FILES


def test_an_open_text_goes_before_its_file(library: Editor) -> None:
    library.open("main.pipe", MAIN)
    assert library.codes("main.pipe") == []
    library.published.clear()
    library.open("lib.pipe", LIBRARY.replace("encode", "encoder"))
    assert library.codes("main.pipe") == ["E0107"]
    library.published.clear()
    library.close("lib.pipe")
    assert library.codes("main.pipe") == []


def test_a_closed_text_has_no_mistakes(library: Editor) -> None:
    library.open("main.pipe", "pipe 1\nconst A = B\n")
    assert library.codes("main.pipe") == ["E0103"]
    library.published.clear()
    library.close("main.pipe")
    assert library.codes("main.pipe", is_open=False) == []


# ---- one name


def test_hover_of_a_variable_says_where_its_sizes_come_from(library: Editor) -> None:
    shown = library.hover("main.pipe", MAIN.replace("  ids,", "  i|ds,"))
    assert "ids: i64[*, ~L]\n" in shown
    assert "`L` comes from lib.encode, line 8" in shown


def test_hover_while_a_line_is_half_written(library: Editor) -> None:
    library.open("main.pipe", MAIN)
    assert library.codes("main.pipe") == []
    half = MAIN.replace("  return", "  x = pool(\n  return")
    assert "Splits a text." in library.hover("main.pipe", half.replace("= encode", "= enc|ode"))
    assert library.codes("main.pipe") != []
    assert "vec: f32[*, 4]" in library.hover("main.pipe", half.replace("return vec", "return v|ec"))


def test_definition_leads_into_the_other_file(library: Editor) -> None:
    marked = MAIN.replace("= encode", "= en|code")
    assert library.definition("main.pipe", marked) == ("lib.pipe", 3, 6)
    assert library.definition("main.pipe", MAIN.replace("lib.pipe", "li|b.pipe")) == ("lib.pipe", 0, 0)
    assert library.definition("main.pipe", MAIN.replace("pool(ids,", "pool(i|ds,")) == ("main.pipe", 7, 2)


def test_definition_in_a_text_that_was_just_changed(library: Editor) -> None:
    library.open("main.pipe", MAIN)
    assert library.codes("main.pipe") == []
    marked = MAIN.replace("stage pool", "# a line\n# and one more\nstage pool").replace("= pool", "= po|ol")
    assert library.definition("main.pipe", marked) == ("main.pipe", 6, 6)


def test_references_in_all_files_of_the_folder(library: Editor) -> None:
    (library.folder / "other.pipe").write_text(MAIN)
    library.open("main.pipe", MAIN)
    found = library.references("lib.pipe", LIBRARY.replace("stage encode", "stage en|code"))
    assert found == [
        ("lib.pipe", 3, 6),
        ("main.pipe", 2, 23),
        ("main.pipe", 7, 14),
        ("other.pipe", 2, 23),
        ("other.pipe", 7, 14),
    ]
    assert ("lib.pipe", 3, 6) not in library.references(
        "lib.pipe", LIBRARY.replace("stage encode", "stage en|code"), own=False
    )


def test_highlights_are_those_of_this_text(library: Editor) -> None:
    uri, position = library.put("main.pipe", MAIN.replace("  ids,", "  i|ds,"))
    params = types.DocumentHighlightParams(at(uri), position)
    found = library.run(library.client.text_document_document_highlight_async(params))
    assert found is not None
    assert [(f.range.start.line, f.kind) for f in found] == [
        (7, types.DocumentHighlightKind.Write),
        (8, types.DocumentHighlightKind.Read),
    ]


# ---- renaming


def edits_of(edit: types.WorkspaceEdit) -> dict[str, list[types.TextEdit]]:
    assert edit.document_changes is not None
    found: dict[str, list[types.TextEdit]] = {}
    for change in edit.document_changes:
        assert isinstance(change, types.TextDocumentEdit)
        found[change.text_document.uri.rsplit("/", 1)[-1]] = [e for e in change.edits if isinstance(e, types.TextEdit)]
    return found


def test_rename_changes_every_file(library: Editor) -> None:
    edit = library.rename("main.pipe", MAIN.replace("= encode", "= en|code"), "split")
    edits = edits_of(edit)
    assert set(edits) == {"main.pipe", "lib.pipe"}
    assert applied(MAIN, edits["main.pipe"]) == MAIN.replace("encode", "split")
    assert applied(LIBRARY, edits["lib.pipe"]) == LIBRARY.replace("stage encode", "stage split")
    assert edit.document_changes is not None
    versions = {c.text_document.version for c in edit.document_changes if isinstance(c, types.TextDocumentEdit)}
    assert versions == {1, None}


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("map", "`map` is a reserved word; write e.g. `map_`"),
        ("2x", "`2x` is no name: letters, digits and `_`, and no digit first"),
        ("pool", "`pool` is taken: stage in"),
        ("", "`` is no name"),
    ],
)
def test_rename_is_refused_with_a_reason(library: Editor, new: str, reason: str) -> None:
    with pytest.raises(JsonRpcException, match="`") as refused:
        library.rename("main.pipe", MAIN.replace("= encode", "= en|code"), new)
    assert refused.value.message.startswith(reason)
    assert refused.value.code == types.LSPErrorCodes.RequestFailed.value


def test_what_can_be_renamed(library: Editor) -> None:
    uri, position = library.put("main.pipe", MAIN.replace("stage pool", "stage po|ol"))
    params = types.PrepareRenameParams(at(uri), position)
    found = library.run(library.client.text_document_prepare_rename_async(params))
    assert isinstance(found, types.PrepareRenamePlaceholder)
    assert (found.placeholder, found.range.start, found.range.end) == (
        "pool",
        types.Position(4, 6),
        types.Position(4, 10),
    )
    uri, position = library.put("main.pipe", MAIN.replace("string", "str|ing"))
    with pytest.raises(JsonRpcException, match="word of the language"):
        library.run(library.client.text_document_prepare_rename_async(types.PrepareRenameParams(at(uri), position)))


# ---- writing


def test_completion_of_ports_while_the_line_is_written(library: Editor) -> None:
    library.open("main.pipe", MAIN)
    assert library.codes("main.pipe") == []
    half = MAIN[: MAIN.index("  return")]
    items = library.completions("main.pipe", half + "  v = pool(|")
    assert [i.label for i in items][:2] == ["ids", "mask"]
    assert items[0].insert_text == "ids = "
    assert items[0].detail == "i64[*, ~L]"
    assert [i.label for i in sorted(items, key=lambda i: i.sort_text or "")] == [i.label for i in items]
    assert library.labels("main.pipe", half + "  v = pool(ids = ids, |")[0] == "mask"


def test_completion_of_files(library: Editor) -> None:
    (library.folder / "more.pipe").write_text("pipe 1\n")
    (library.folder / "notes.txt").write_text("")
    items = library.completions("main.pipe", 'pipe 1\nimport "mo|')
    assert [i.label for i in items] == ["lib.pipe", "more.pipe"]
    item = items[1]
    assert isinstance(item.text_edit, types.TextEdit)
    assert item.text_edit.range == types.Range(types.Position(1, 8), types.Position(1, 10))


def test_a_mistake_offers_its_edit(library: Editor) -> None:
    text = MAIN.replace("pool(ids, mask)", "pol(ids, mask)")
    uri = library.open("main.pipe", text)
    place = library.mistakes("main.pipe")[0].range
    params = types.CodeActionParams(at(uri), place, types.CodeActionContext([]))
    found = library.run(library.client.text_document_code_action_async(params))
    assert found is not None
    (action,) = found
    assert isinstance(action, types.CodeAction)
    assert (action.title, action.kind) == ("Write `pool`", types.CodeActionKind.QuickFix)
    assert action.edit is not None
    assert action.edit.changes is not None
    assert applied(text, list(action.edit.changes[uri])) == MAIN


def test_formatting_changes_what_differs(library: Editor) -> None:
    text = MAIN.replace("  ids, mask = encode(text)", "      ids,mask=encode( text )")
    uri = library.open("main.pipe", text)
    params = types.DocumentFormattingParams(at(uri), types.FormattingOptions(2, True))
    (edit,) = library.run(library.client.text_document_formatting_async(params)) or ()
    assert applied(text, [edit]) == MAIN
    assert edit.range.start.line == edit.range.end.line == 7


def test_a_text_with_mistakes_is_not_formatted(library: Editor) -> None:
    uri = library.open("main.pipe", "pipe 1\nstage (\n")
    params = types.DocumentFormattingParams(at(uri), types.FormattingOptions(2, True))
    assert library.run(library.client.text_document_formatting_async(params)) is None


# ---- the whole text


def test_symbols(library: Editor) -> None:
    uri = library.open("main.pipe", MAIN)
    found = library.run(library.client.text_document_document_symbol_async(types.DocumentSymbolParams(at(uri))))
    assert found is not None
    shape = {s.name: [c.name for c in s.children or ()] for s in found if isinstance(s, types.DocumentSymbol)}
    assert shape == {"encode": [], "pool": ["ids", "mask", "vec"], "embed": ["text", "vec", "ids", "mask"]}


def test_hints(library: Editor) -> None:
    uri = library.open("main.pipe", MAIN)
    everything = types.Range(types.Position(0, 0), types.Position(99, 0))
    found = library.run(library.client.text_document_inlay_hint_async(types.InlayHintParams(at(uri), everything)))
    assert found is not None
    assert [(h.position.line, h.position.character, h.label) for h in found] == [
        (7, 5, ": i64[*, ~L]"),
        (7, 11, ": i64[*, ~L]"),
    ]


def test_folding(library: Editor) -> None:
    uri = library.open("lib.pipe", LIBRARY)
    found = library.run(library.client.text_document_folding_range_async(types.FoldingRangeParams(at(uri))))
    assert found is not None
    assert [(f.start_line, f.end_line) for f in found] == [(3, 5)]


def test_semantic_tokens(library: Editor) -> None:
    uri = library.open("main.pipe", MAIN)
    assert library.codes("main.pipe") == []
    params = types.SemanticTokensParams(at(uri))
    found = library.run(library.client.text_document_semantic_tokens_full_async(params))
    assert found is not None
    provider = library.capabilities.semantic_tokens_provider
    assert provider is not None
    line, column, words = 0, 0, []
    for down, along, width, kind, _ in zip(*[iter(found.data)] * 5):
        line, column = line + down, along if down else column + along
        words.append((MAIN.split("\n")[line][column : column + width], provider.legend.token_types[kind]))
    assert words[0] == ("encode", "function")
    assert ("text", "parameter") in words
    assert ("mask", "variable") in words
    assert ("vec", "property") in words
