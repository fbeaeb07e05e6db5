"""An editor for tests: pygls' own client, which starts `pipectl lsp` and talks to it over its stdin and stdout.

The client lives on an event loop in a thread of its own, so tests are plain functions and share a session.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.lsp.client import LanguageClient

ROOT = Path(__file__).parents[3]
TIMEOUT = 60
Result = TypeVar("Result")


class Editor:
    """One session with a server of its own."""

    def __init__(self, folder: Path, *, utf8: bool = False, documents: bool = True) -> None:
        self.folder = folder
        self.published: list[types.PublishDiagnosticsParams] = []
        self.messages: list[types.ShowMessageParams] = []
        self.registered: list[types.RegistrationParams] = []
        self.versions: dict[str, int] = {}
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.capabilities = self.run(self._start(utf8, documents)).capabilities

    def run(self, talk: Coroutine[Any, Any, Result]) -> Result:
        """The result of something that is waited for."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(talk, TIMEOUT), self.loop).result()

    async def _start(self, utf8: bool, documents: bool) -> types.InitializeResult:
        self.news = asyncio.Condition()
        self.client = LanguageClient("editor", "1")
        self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)(lambda p: self._told(p))
        self.client.feature(types.WINDOW_SHOW_MESSAGE)(lambda p: self.messages.append(p))
        self.client.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda p: self.registered.append(p))
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        await self.client.start_io(sys.executable, "-m", "pipectl", "lsp", "--stdio", env=environ, cwd=str(self.folder))
        encodings = [types.PositionEncodingKind.Utf8] if utf8 else None
        watch = types.DidChangeWatchedFilesClientCapabilities(dynamic_registration=documents)
        edit = types.WorkspaceEditClientCapabilities(document_changes=documents)
        result = await self.client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(
                    general=types.GeneralClientCapabilities(position_encodings=encodings),
                    workspace=types.WorkspaceClientCapabilities(workspace_edit=edit, did_change_watched_files=watch),
                ),
                workspace_folders=[types.WorkspaceFolder(self.folder.as_uri(), "folder")],
            )
        )
        self.client.initialized(types.InitializedParams())
        return result

    def _told(self, params: types.PublishDiagnosticsParams) -> None:
        self.published.append(params)
        asyncio.ensure_future(self._notify())  # noqa: RUF006 -- it is over in this turn of the loop

    async def _notify(self) -> None:
        async with self.news:
            self.news.notify_all()

    @property
    def process(self) -> asyncio.subprocess.Process:
        server = self.client._server
        assert server is not None
        return server

    def stop(self) -> int:
        """Ends the session as the protocol wants it; the exit code of the server."""
        code = self.run(self._stop())
        self.leave()
        return code

    async def _stop(self) -> int:
        await self.client.shutdown_async(None)
        self.client.exit(None)
        code = await self.process.wait()
        await self.client.stop()
        return code

    def leave(self) -> None:
        """Ends the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    # ---- texts

    def uri(self, name: str) -> str:
        return name if ":" in name else (self.folder / name).as_uri()

    def open(self, name: str, text: str) -> str:
        """Opens a text, as a new version if it is open; gives its URI."""
        uri = self.uri(name)
        if uri in self.versions:
            self.change(name, text)
            return uri
        self.versions[uri] = 1
        item = types.TextDocumentItem(uri, "pipe", 1, text)
        self._say(self.client.text_document_did_open, types.DidOpenTextDocumentParams(item))
        return uri

    def change(self, name: str, text: str) -> int:
        uri = self.uri(name)
        self.versions[uri] += 1
        about = types.VersionedTextDocumentIdentifier(uri=uri, version=self.versions[uri])
        whole = types.TextDocumentContentChangeWholeDocument(text=text)
        self._say(self.client.text_document_did_change, types.DidChangeTextDocumentParams(about, [whole]))
        return self.versions[uri]

    def close(self, name: str) -> None:
        uri = self.uri(name)
        self.versions.pop(uri, None)
        self._say(self.client.text_document_did_close, types.DidCloseTextDocumentParams(at(uri)))

    def wrote(self, name: str, text: str) -> None:
        """Writes a file and says so, as an editor that watches files does."""
        (self.folder / name).write_text(text, encoding="utf-8")
        event = types.FileEvent(self.uri(name), types.FileChangeType.Changed)
        self._say(self.client.workspace_did_change_watched_files, types.DidChangeWatchedFilesParams([event]))

    def _say(self, notification: Any, params: Any) -> None:
        self.loop.call_soon_threadsafe(notification, params)

    def mistakes(self, name: str, *, is_open: bool = True) -> list[types.Diagnostic]:
        """The mistakes of the text as it is now, once they are told."""
        uri = self.uri(name)
        return self.run(self._mistakes(uri, self.versions[uri] if is_open else None))

    def codes(self, name: str, *, is_open: bool = True) -> list[object]:
        return [d.code for d in self.mistakes(name, is_open=is_open)]

    async def _mistakes(self, uri: str, version: int | None) -> list[types.Diagnostic]:
        async with self.news:
            while True:
                for params in reversed(self.published):
                    if params.uri == uri and params.version == version:
                        return list(params.diagnostics)
                await self.news.wait()

    # ---- questions; `|` in a text is the cursor

    def put(self, name: str, marked: str) -> tuple[str, types.Position]:
        text, position = cursor(marked)
        return self.open(name, text), position

    def hover(self, name: str, marked: str) -> str:
        uri, position = self.put(name, marked)
        found = self.run(self.client.text_document_hover_async(types.HoverParams(at(uri), position)))
        if found is None:
            return ""
        assert isinstance(found.contents, types.MarkupContent)
        return found.contents.value

    def definition(self, name: str, marked: str) -> tuple[str, int, int] | None:
        """File, line and column, from 0."""
        uri, position = self.put(name, marked)
        found = self.run(self.client.text_document_definition_async(types.DefinitionParams(at(uri), position)))
        if found is None:
            return None
        assert isinstance(found, types.Location)
        return Path(found.uri).name, found.range.start.line, found.range.start.character

    def references(self, name: str, marked: str, *, own: bool = True) -> list[tuple[str, int, int]]:
        uri, position = self.put(name, marked)
        params = types.ReferenceParams(types.ReferenceContext(own), at(uri), position)
        found = self.run(self.client.text_document_references_async(params)) or []
        return sorted((Path(f.uri).name, f.range.start.line, f.range.start.character) for f in found)

    def rename(self, name: str, marked: str, new: str) -> types.WorkspaceEdit:
        uri, position = self.put(name, marked)
        found = self.run(
            self.client.text_document_rename_async(
                types.RenameParams(text_document=at(uri), position=position, new_name=new)
            )
        )
        assert found is not None
        return found

    def completions(self, name: str, marked: str) -> list[types.CompletionItem]:
        uri, position = self.put(name, marked)
        found = self.run(self.client.text_document_completion_async(types.CompletionParams(at(uri), position)))
        assert isinstance(found, types.CompletionList)
        return list(found.items)

    def labels(self, name: str, marked: str) -> list[str]:
        return [item.label for item in self.completions(name, marked)]


def at(uri: str) -> types.TextDocumentIdentifier:
    return types.TextDocumentIdentifier(uri)


def cursor(marked: str, units: str = "utf-16-le") -> tuple[str, types.Position]:
    """The text without its `|`, and where that was."""
    before, _, after = marked.partition("|")
    line = before.rsplit("\n", 1)[-1]
    width = 2 if units == "utf-16-le" else 1
    return before + after, types.Position(before.count("\n"), len(line.encode(units)) // width)


def applied(text: str, edits: list[types.TextEdit]) -> str:
    """A text of ASCII after edits."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        start = starts[edit.range.start.line] + edit.range.start.character
        end = starts[edit.range.end.line] + edit.range.end.character
        text = text[:start] + edit.new_text + text[end:]
    return text
