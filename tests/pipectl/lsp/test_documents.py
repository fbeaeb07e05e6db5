"""Open texts, files behind them, URIs, and the files of a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from pipectl.lsp.documents import Documents, Overlay
from pipectl.lsp.uris import to_path, to_uri
from pipectl.lsp.workspace import MOST, pipe_files


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/b.pipe", "/a/b.pipe"),
        ("file:///a/%C3%BC%20x.pipe", "/a/ü x.pipe"),
        ("file:///a/../b.pipe", "/b.pipe"),
        ("file:///a%23b%3Fc;d.pipe", "/a#b?c;d.pipe"),
        ("file://localhost/a.pipe", "/a.pipe"),
        ("untitled:Untitled-1", "untitled:Untitled-1"),
        ("git:/a/b.pipe?ref", "git:/a/b.pipe?ref"),
        ("http://[bad", "http://[bad"),
        ("", ""),
    ],
)
def test_uris_to_paths(uri: str, path: str) -> None:
    assert to_path(uri) == path


@pytest.mark.parametrize("path", ["/a/b.pipe", "/a/ü x.pipe", "/a#b?c;d%.pipe", "untitled:Untitled-1"])
def test_paths_survive_their_uri(path: str) -> None:
    assert to_path(to_uri(path)) == path


def item(text: str) -> types.TextDocumentItem:
    return types.TextDocumentItem("file:///x.pipe", "pipe", 1, text)


def test_changes_are_applied_in_order() -> None:
    documents = Documents()
    documents.open(item("one\ntwo\n"))
    first = types.TextDocumentContentChangePartial(
        range=types.Range(types.Position(1, 0), types.Position(1, 3)), text="2"
    )
    second = types.TextDocumentContentChangePartial(
        range=types.Range(types.Position(1, 1), types.Position(0, 9)), text="!"
    )
    found = documents.change("file:///x.pipe", 5, [first, second])
    assert found is not None
    assert (found.text, found.version) == ("one\n2!\n", 5)
    assert documents.change("file:///y.pipe", 1, [first]) is None
    assert documents.close("file:///y.pipe") is None


def test_an_open_text_is_read_before_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.pipe"
    path.write_text("disk")
    assert Overlay({}).read(str(path)).text == "disk"
    assert Overlay({str(path): "editor"}).read(str(tmp_path / "." / "x.pipe")).text == "editor"
    with pytest.raises(FileNotFoundError):
        Overlay({}).read(str(tmp_path / "none.pipe"))


def test_files_of_folders(tmp_path: Path) -> None:
    for name in ("a.pipe", "deep/b.pipe", ".git/c.pipe", "node_modules/d.pipe", "x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = [str(Path(p).relative_to(tmp_path)) for p in pipe_files([str(tmp_path), str(tmp_path / "none")])]
    assert found == ["a.pipe", "deep/b.pipe"]
    assert MOST >= 1000
