"""What editors and people do to a server: it answers, refuses with a reason, or says nothing; and it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from .editor import ROOT, Editor, at

STAGES = """pipe 1
stage f(x: string, y: f32 = 1.0) -> (z: f32[N]) using python("m:f")
"""


def works(editor: Editor) -> bool:
    """Whether the server still answers."""
    return "z: f32[N]" in editor.hover("works.pipe", STAGES.replace("(z:", "(|z:"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\ufeff",
        "\x00\x01",
        "stage",
        "stage f(",
        'stage f(x: f32) -> (y: f32) using python("',
        'const A = """\nnever closed',
        "pipe 99\n",
        "}" * 300,
        "(" * 300,
        "pipe 1\npipeline p() -> () {\n  x = \n",
        "pipe 1\npipeline p(x: f32[",
        "\ud800 half a pair",
        "pipe 1\r\n\r\nstage f(\r\n",
    ],
)
def test_half_written_texts_get_answers(editor: Editor, text: str) -> None:
    uri = editor.open("half.pipe", text)
    lines = text.split("\n")
    for line, column in ((0, 0), (len(lines) - 1, len(lines[-1])), (5, 5), (10**6, 10**6)):
        position = types.Position(line, column)
        editor.run(editor.client.text_document_hover_async(types.HoverParams(at(uri), position)))
        editor.run(editor.client.text_document_completion_async(types.CompletionParams(at(uri), position)))
        editor.run(editor.client.text_document_definition_async(types.DefinitionParams(at(uri), position)))
    editor.run(editor.client.text_document_document_symbol_async(types.DocumentSymbolParams(at(uri))))
    editor.run(editor.client.text_document_folding_range_async(types.FoldingRangeParams(at(uri))))
    editor.run(editor.client.text_document_semantic_tokens_full_async(types.SemanticTokensParams(at(uri))))
    editor.mistakes("half.pipe")
    assert works(editor)


def test_files_that_import_each_other(editor: Editor) -> None:
    (editor.folder / "b.pipe").write_text('pipe 1\nimport "a.pipe" as a\n')
    text = 'pipe 1\nimport "b.pipe" as b\nconst A = b.X\n'
    editor.open("a.pipe", text)
    assert "E0102" in editor.codes("b.pipe", is_open=False)
    assert 'import "b.pipe" as b' in editor.hover("a.pipe", text.replace("as b", "as |b"))


def test_a_file_that_imports_itself_and_one_that_is_missing(editor: Editor) -> None:
    editor.open("a.pipe", 'pipe 1\nimport "a.pipe" as a\nfrom "none.pipe" import x, y as z\n')
    assert editor.codes("a.pipe") == ["E0102", "E0101"]


def test_a_text_that_is_too_long(editor: Editor) -> None:
    text = "pipe 1\n" + "# filling\n" * 120_000
    editor.open("long.pipe", text)
    (found,) = editor.mistakes("long.pipe")
    assert found.code == "E0008"
    assert works(editor)


def test_lines_that_end_with_a_carriage_return(editor: Editor) -> None:
    text = STAGES.replace("\n", "\r\n")
    assert "y: f32 = 1.0" in editor.hover("cr.pipe", text.replace("y: f32", "|y: f32"))
    assert editor.definition("cr.pipe", text.replace("stage f", "stage |f")) == ("cr.pipe", 1, 6)
    uri = editor.open("cr.pipe", text.replace("(x: string", "( x:string"))
    params = types.DocumentFormattingParams(at(uri), types.FormattingOptions(2, True))
    (edit,) = editor.run(editor.client.text_document_formatting_async(params)) or ()
    assert "\n" not in edit.new_text
    assert (edit.range.start.line, edit.range.end.line) == (1, 1)


WIDE = STAGES + 'pipeline p(a: f32) -> (z: f32[N]) {\n  r = f("🦜🦜é", y = a)\n  return z = r\n}\n'


def test_columns_count_utf16(editor: Editor) -> None:
    assert "a: f32" in editor.hover("wide.pipe", WIDE.replace("y = a", "y = |a"))
    assert editor.references("wide.pipe", WIDE.replace("(a: f32)", "(|a: f32)")) == [
        ("wide.pipe", 2, 11),
        ("wide.pipe", 3, 21),
    ]


def test_columns_count_bytes_where_that_was_agreed_on(tmp_path: Path) -> None:
    editor = Editor(tmp_path, utf8=True)
    assert editor.capabilities.position_encoding == types.PositionEncodingKind.Utf8
    uri = editor.open("wide.pipe", WIDE)
    line = WIDE.split("\n")[3]
    position = types.Position(3, len(line[: line.index("a)")].encode()))
    found = editor.run(editor.client.text_document_hover_async(types.HoverParams(at(uri), position)))
    assert found is not None
    assert found.range is not None
    assert found.range.start == position
    assert editor.stop() == 0


def test_changes_without_versions_of_documents(tmp_path: Path) -> None:
    editor = Editor(tmp_path, documents=False)
    edit = editor.rename("wide.pipe", WIDE.replace("(a: f32)", "(|a: f32)"), "b")
    assert edit.document_changes is None
    assert edit.changes is not None
    assert [e.new_text for e in edit.changes[editor.uri("wide.pipe")]] == ["b", "b"]
    assert editor.stop() == 0


# ---- documents


def test_documents_that_are_not_open(editor: Editor) -> None:
    about, place = at(editor.uri("nobody.pipe")), types.Position(0, 0)
    ask = editor.client
    assert editor.run(ask.text_document_hover_async(types.HoverParams(about, place))) is None
    assert editor.run(ask.text_document_completion_async(types.CompletionParams(about, place))) is None
    assert editor.run(ask.text_document_document_symbol_async(types.DocumentSymbolParams(about))) is None
    params = types.RenameParams(text_document=about, position=place, new_name="x")
    with pytest.raises(JsonRpcException, match=r"nobody\.pipe is not open"):
        editor.run(ask.text_document_rename_async(params))
    change = types.TextDocumentContentChangeWholeDocument(text="pipe 1\n")
    versioned = types.VersionedTextDocumentIdentifier(uri=about.uri, version=7)
    editor._say(ask.text_document_did_change, types.DidChangeTextDocumentParams(versioned, [change]))
    editor._say(ask.text_document_did_close, types.DidCloseTextDocumentParams(about))
    assert works(editor)


def test_a_text_that_is_no_file(editor: Editor) -> None:
    uri = "untitled:Untitled-1"
    assert "E0103" in editor.codes(editor.open(uri, "pipe 1\nconst A = B\n"))
    assert "stage f" in editor.hover(uri, STAGES.replace("stage f", "stage |f"))


def test_a_uri_that_is_spelled_differently(editor: Editor) -> None:
    spelled = (editor.folder / "o dd.pipe").as_uri().replace("dd", "%64d")
    assert "stage f" in editor.hover(spelled, STAGES.replace("stage f", "stage |f"))
    plain = at((editor.folder / "o dd.pipe").as_uri())
    params = types.HoverParams(plain, types.Position(1, 6))
    assert editor.run(editor.client.text_document_hover_async(params)) is not None


def test_changes_of_ranges_are_taken_as_well(editor: Editor) -> None:
    uri = editor.open("range.pipe", "pipe 1\nconst A = 🦜1\n")
    piece = types.TextDocumentContentChangePartial(
        range=types.Range(types.Position(1, 10), types.Position(1, 12)), text="1 + "
    )
    editor.versions[uri] += 1
    about = types.VersionedTextDocumentIdentifier(uri=uri, version=2)
    editor._say(editor.client.text_document_did_change, types.DidChangeTextDocumentParams(about, [piece]))
    assert editor.codes("range.pipe") == []
    params = types.HoverParams(at(uri), types.Position(1, 6))
    found = editor.run(editor.client.text_document_hover_async(params))
    assert found is not None
    assert isinstance(found.contents, types.MarkupContent)
    assert "`2`" in found.contents.value


# ---- requests


def test_a_cancelled_request_ends_and_the_text_is_looked_at_all_the_same(editor: Editor) -> None:
    stages = "".join(f'stage s{i}(x: f32) -> (y: f32) using python("m:f")\n' for i in range(1500))
    uri = editor.open("large.pipe", "pipe 1\n" + stages)

    async def cancelled() -> None:
        protocol = editor.client.protocol
        params = types.HoverParams(at(uri), types.Position(3, 7))
        answer = protocol.send_request_async("textDocument/hover", params, msg_id="to-cancel")
        protocol.notify("$/cancelRequest", types.CancelParams("to-cancel"))
        await answer

    with pytest.raises(JsonRpcException) as refused:
        editor.run(cancelled())
    assert refused.value.code == types.LSPErrorCodes.RequestCancelled.value
    params = types.HoverParams(at(uri), types.Position(3, 7))
    assert editor.run(editor.client.text_document_hover_async(params)) is not None
    assert editor.mistakes("large.pipe") == []


def test_a_request_that_nobody_knows(editor: Editor) -> None:
    params = types.MonikerParams(at(editor.uri("x.pipe")), types.Position(0, 0))
    with pytest.raises(JsonRpcException, match="textDocument/moniker"):
        editor.run(editor.client.text_document_moniker_async(params))
    assert works(editor)


def test_messages_that_are_none(editor: Editor) -> None:
    async def send(body: bytes) -> None:
        stdin = editor.process.stdin
        assert stdin is not None
        stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await stdin.drain()

    for body in (
        b"{",
        b"[]",
        b'"text"',
        b'{"jsonrpc": "2.0"}',
        b'{"jsonrpc": "2.0", "id": 1, "method": 5}',
        b"\xff\xfe",
    ):
        editor.run(send(body))
    wrong = {"jsonrpc": "2.0", "id": "w", "method": "textDocument/hover", "params": {"textDocument": 1}}
    editor.run(send(json.dumps(wrong).encode()))
    assert works(editor)


# ---- the process


def start(*, before: str = "", stdin: Any = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    program = f"{before}\nimport sys; from pipectl.__main__ import run; sys.exit(run(['lsp']))"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program], stdin=stdin, capture_output=True, timeout=60, env=environ, check=False
    )


def test_without_a_client_it_ends_at_once_and_writes_nothing() -> None:
    done = start()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_without_its_package_it_says_what_to_install() -> None:
    done = start(before="import sys; sys.modules['pygls'] = None")
    assert done.returncode == 2
    assert done.stderr.decode() == ("error: the language server needs pygls\nhelp: pip install 'pipectl[lsp]'\n")


def test_what_prints_does_not_reach_the_client(tmp_path: Path) -> None:
    done = start(before="import pipectl.lsp.server as s\nmake = s.make\ns.make = lambda: (print('noise'), make())[1]")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"noise\n")


def test_a_client_that_dies_takes_the_server_with_it(tmp_path: Path) -> None:
    editor = Editor(tmp_path)
    editor.open("x.pipe", STAGES)

    async def gone() -> int:
        assert editor.process.stdin is not None
        editor.process.stdin.close()
        return await asyncio.wait_for(editor.process.wait(), 30)

    assert editor.run(gone()) == 0
    editor.run(editor.client.stop())
    editor.leave()
