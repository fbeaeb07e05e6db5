"""The server: requests and notifications of the protocol -> the project and its answers.

Answers about one name use what is known at once; those that change text wait for an analysis of the very text. All are
coroutines, so a cancelled request ends where it waits. Nothing but the protocol is written to stdout.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcContentModified, JsonRpcException, JsonRpcInternalError
from pygls.lsp.server import LanguageServer

from pipectl._version import VERSION
from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.index import Change, Definition, Index, Refused, changes, refusal, renamed_at
from pipeline_dsl.locks import SUFFIX

from . import answers, convert
from .documents import Document
from .positions import span_range
from .project import DELAY, Project, View
from .uris import to_path, to_uri
from .workspace import mentioning

SWITCH = 5e-4
"""Seconds after which a thread that looks at a text lets answers through; Python's own 5 ms add up over the hops of a
message."""
_TRIGGERS = ["(", ",", ".", ":", "[", "{", '"', "/", "="]
_log = logging.getLogger(__name__)


class PipeServer(LanguageServer):
    """A pygls server that tells its log what went wrong: what is sent, editors show in a window."""

    def report_server_error(self, error: Exception, source: Any) -> None:
        """A refusal has been answered, and is none."""
        if isinstance(error, JsonRpcInternalError):
            _log.error("%s\n%s", error, "".join((error.data or {}).get("traceback", [])))
        elif not isinstance(error, JsonRpcException):
            _log.error("%s", error)


def refused(reason: str) -> JsonRpcException:
    """An answer that says why there is none; editors show it."""
    return JsonRpcException(reason, code=types.LSPErrorCodes.RequestFailed.value)


class Features:
    """What the server can do, one method a request."""

    def __init__(self, server: LanguageServer, delay: float = DELAY) -> None:
        self.server = server
        self.project = Project(self._publish, delay)

    async def initialized(self, params: types.InitializedParams) -> None:
        """Asks to be told of files that change on the disk, where the client offers that."""
        offered = self.server.client_capabilities.workspace
        watched = offered.did_change_watched_files if offered else None
        if watched is not None and watched.dynamic_registration:
            watchers = [types.FileSystemWatcher(glob_pattern=f"**/*.pipe{end}") for end in ("", SUFFIX)]
            options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
            wanted = types.Registration(
                id="files", method=types.WORKSPACE_DID_CHANGE_WATCHED_FILES, register_options=options
            )
            await self.server.client_register_capability_async(types.RegistrationParams([wanted]))

    # ---- texts

    async def did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self.project.documents.encoding = self.encoding
        self.project.opened(self.project.documents.open(params.text_document))

    async def did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        about = params.text_document
        document = self.project.documents.change(about.uri, about.version, params.content_changes)
        if document is not None:
            self.project.changed(document)

    async def did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        document = self.project.documents.close(params.text_document.uri)
        if document is not None:
            self.project.closed(document)

    async def did_save(self, params: types.DidSaveTextDocumentParams) -> None:
        self.project.files_changed([to_path(params.text_document.uri)])

    async def watched_files(self, params: types.DidChangeWatchedFilesParams) -> None:
        self.project.files_changed(to_path(change.uri) for change in params.changes)

    async def shutdown(self, params: None) -> None:
        self.project.stop()

    def _publish(self, path: str, found: list[Diagnostic]) -> None:
        document = self.project.documents.by_path.get(path)
        self.server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(
                uri=document.uri if document else to_uri(path),
                diagnostics=[convert.diagnostic(d, self.encoding) for d in found],
                version=document.version if document else None,
            )
        )

    @property
    def encoding(self) -> str:
        """Units of columns."""
        return self.server.workspace.position_encoding or types.PositionEncodingKind.Utf16

    def _document(self, at: types.TextDocumentIdentifier) -> Document | None:
        return self.project.documents.find(at.uri)

    # ---- one name

    async def _views(self, document: Document, position: types.Position) -> list[View]:
        return await self.project.known_at(document, document.lines.offset(position))

    async def hover(self, params: types.HoverParams) -> types.Hover | None:
        document = self._document(params.text_document)
        if document is None:
            return None
        return answers.hover_at(document, await self._views(document, params.position), params.position)

    async def definition(self, params: types.DefinitionParams) -> types.Location | None:
        document = self._document(params.text_document)
        if document is None:
            return None
        views = await self._views(document, params.position)
        return answers.definition_at(document, views, params.position, self.encoding)

    async def highlight(self, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight] | None:
        document = self._document(params.text_document)
        views = await self.project.known(document) if document else []
        if document is None or not views:
            return None
        found = answers.occurrence_at(document, views[:1], params.position)
        return answers.highlights(document, views[0], found.definition) if found else None

    async def references(self, params: types.ReferenceParams) -> list[types.Location] | None:
        document = self._document(params.text_document)
        if document is None:
            return None
        found = answers.occurrence_at(document, await self._views(document, params.position), params.position)
        if found is None:
            return None
        indexes = await self._mentioning(found.definition)
        mentions = {(o.span.source.path, o.span.start): o for i in indexes for o in i.mentions(found.definition)}
        wanted = (o for o in mentions.values() if params.context.include_declaration or not o.defines)
        return [self._location(o.span.source.path, span_range(o.span, self.encoding)) for o in wanted]

    def _location(self, path: str, at: types.Range) -> types.Location:
        document = self.project.documents.by_path.get(path)
        return types.Location(document.uri if document else to_uri(path), at)

    async def _mentioning(self, definition: Definition) -> list[Index]:
        workspace = self.server.workspace
        folders = [to_path(uri) for uri in workspace.folders] or [workspace.root_path or ""]
        folders = [f for f in folders if f] or [os.path.dirname(definition.span.source.path)]
        texts = self.project.documents.texts()
        return await self.project.in_thread(lambda: mentioning(definition, folders, texts))

    # ---- renaming

    async def prepare_rename(self, params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder:
        document, view = await self._exact(params.text_document)
        found = renamed_at(view.analysis.index, document.lines.offset(params.position))
        if isinstance(found, Refused):
            raise refused(found.reason)
        at = document.lines.range(found.span.start, found.span.end)
        return types.PrepareRenamePlaceholder(range=at, placeholder=found.definition.name)

    async def rename(self, params: types.RenameParams) -> types.WorkspaceEdit:
        document, view = await self._exact(params.text_document)
        found = renamed_at(view.analysis.index, document.lines.offset(params.position))
        if isinstance(found, Refused):
            raise refused(found.reason)
        indexes = await self._mentioning(found.definition)
        against = refusal(found.definition, params.new_name, indexes)
        if against is not None:
            raise refused(against.reason)
        return self._workspace_edit(changes(found.definition, params.new_name, indexes))

    async def _exact(self, at: types.TextDocumentIdentifier) -> tuple[Document, View]:
        document = self._document(at)
        view = await self.project.exact(document) if document else None
        if document is None:
            raise refused(f"{at.uri} is not open")
        if view is None:
            raise JsonRpcContentModified("the text was changed meanwhile; try again")
        return document, view

    def _workspace_edit(self, made: list[Change]) -> types.WorkspaceEdit:
        """With the versions of open texts if the client knows what to do with them."""
        edits = convert.text_edits(made, self.encoding)
        uris = {
            path: self._location(path, types.Range(types.Position(0, 0), types.Position(0, 0))).uri for path in edits
        }
        workspace = self.server.client_capabilities.workspace
        if not (workspace and workspace.workspace_edit and workspace.workspace_edit.document_changes):
            return types.WorkspaceEdit(changes={uris[path]: edits[path] for path in edits})
        documents = []
        for path, text_edits in edits.items():
            document = self.project.documents.by_path.get(path)
            about = types.OptionalVersionedTextDocumentIdentifier(uris[path], document.version if document else None)
            documents.append(types.TextDocumentEdit(about, [*text_edits]))
        return types.WorkspaceEdit(document_changes=[*documents])

    # ---- writing

    async def completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        document = self._document(params.text_document)
        if document is None:
            return None
        return answers.completions(document, await self.project.known(document), params.position)

    async def formatting(self, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        document = self._document(params.text_document)
        if document is None:
            return None
        return await self.project.in_thread(lambda: answers.formatted(document))

    async def code_action(self, params: types.CodeActionParams) -> list[types.CodeAction] | None:
        document = self._document(params.text_document)
        view = await self.project.exact(document) if document else None
        if document is None or view is None:
            return None
        return answers.code_actions(document, view, params.range, self.encoding)

    # ---- the whole text

    async def symbols(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
        document = self._document(params.text_document)
        view = await self.project.exact(document) if document else None
        return answers.outline(document, view) if document and view else None

    async def folding(self, params: types.FoldingRangeParams) -> list[types.FoldingRange] | None:
        document = self._document(params.text_document)
        return answers.foldings(document) if document else None

    async def inlay_hint(self, params: types.InlayHintParams) -> list[types.InlayHint] | None:
        document = self._document(params.text_document)
        views = await self.project.known(document) if document else []
        return answers.inlay_hints(document, views[0], params.range) if document and views else None

    async def semantic_tokens(self, params: types.SemanticTokensParams) -> types.SemanticTokens | None:
        document = self._document(params.text_document)
        views = await self.project.known(document) if document else []
        return answers.semantic_tokens(document, views[0]) if document and views else None


Handler = Callable[[Any], Awaitable[Any]]


def make(delay: float = DELAY) -> PipeServer:
    """A server with all its features, not started."""
    server = PipeServer("pipectl", VERSION, types.TextDocumentSyncKind.Full)
    able = Features(server, delay)
    handlers: dict[str, tuple[Handler, Any]] = {
        types.INITIALIZED: (able.initialized, None),
        types.TEXT_DOCUMENT_DID_OPEN: (able.did_open, None),
        types.TEXT_DOCUMENT_DID_CHANGE: (able.did_change, None),
        types.TEXT_DOCUMENT_DID_CLOSE: (able.did_close, None),
        types.TEXT_DOCUMENT_DID_SAVE: (able.did_save, None),
        types.WORKSPACE_DID_CHANGE_WATCHED_FILES: (able.watched_files, None),
        types.SHUTDOWN: (able.shutdown, None),
        types.TEXT_DOCUMENT_HOVER: (able.hover, None),
        types.TEXT_DOCUMENT_DEFINITION: (able.definition, None),
        types.TEXT_DOCUMENT_REFERENCES: (able.references, None),
        types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT: (able.highlight, None),
        types.TEXT_DOCUMENT_PREPARE_RENAME: (able.prepare_rename, None),
        types.TEXT_DOCUMENT_RENAME: (able.rename, types.RenameOptions(prepare_provider=True)),
        types.TEXT_DOCUMENT_COMPLETION: (able.completion, types.CompletionOptions(trigger_characters=_TRIGGERS)),
        types.TEXT_DOCUMENT_FORMATTING: (able.formatting, None),
        types.TEXT_DOCUMENT_CODE_ACTION: (
            able.code_action,
            types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
        ),
        types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: (able.symbols, None),
        types.TEXT_DOCUMENT_FOLDING_RANGE: (able.folding, None),
        types.TEXT_DOCUMENT_INLAY_HINT: (able.inlay_hint, None),
        types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: (able.semantic_tokens, answers.LEGEND),
    }
    for name, (handler, given) in handlers.items():
        server.feature(name, given)(partial(handler))  # pygls sets attributes, which a method can not have
    return server


def serve() -> None:
    """Talks over stdin and stdout until the client is gone. What anything else prints goes to stderr."""
    sys.setswitchinterval(SWITCH)
    gc.disable()  # the project collects when nothing happens
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # it logs each refusal with a traceback
    stdout = sys.stdout.buffer
    sys.stdout = sys.stderr
    make().start_io(sys.stdin.buffer, stdout)
