"""The texts that are open in the editor, and reading files past them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lsprotocol import types

from pipeline_dsl.check.load import identity
from pipeline_dsl.check.options import FileLoader
from pipeline_dsl.source import Source

from .positions import Lines
from .uris import to_path


@dataclass(frozen=True, slots=True)
class Document:
    """One version of an open text."""

    uri: str
    """As the client spells it."""
    path: str
    version: int
    lines: Lines

    @property
    def text(self) -> str:
        return self.lines.text


@dataclass(slots=True)
class Documents:
    """All open texts by path. `encoding`: of columns, agreed on when the client connects."""

    encoding: str = types.PositionEncodingKind.Utf16
    by_path: dict[str, Document] = field(default_factory=dict)

    def open(self, item: types.TextDocumentItem) -> Document:
        return self._put(item.uri, item.version, item.text)

    def change(
        self, uri: str, version: int, changes: Iterable[types.TextDocumentContentChangeEvent]
    ) -> Document | None:
        """The next version; None for a document that is not open."""
        document = self.find(uri)
        if document is None:
            return None
        for change in changes:
            text = change.text
            if isinstance(change, types.TextDocumentContentChangePartial):
                start = document.lines.offset(change.range.start)
                end = max(document.lines.offset(change.range.end), start)
                text = document.text[:start] + text + document.text[end:]
            document = self._put(document.uri, version, text)
        return document

    def close(self, uri: str) -> Document | None:
        return self.by_path.pop(to_path(uri), None)

    def find(self, uri: str) -> Document | None:
        """The open document of a URI, however it is spelled."""
        return self.by_path.get(to_path(uri))

    def texts(self) -> Mapping[str, str]:
        """All texts as they are now, for another thread."""
        return {path: document.text for path, document in self.by_path.items()}

    def _put(self, uri: str, version: int, text: str) -> Document:
        path = to_path(uri)
        self.by_path[path] = document = Document(uri, path, version, Lines(text, self.encoding))
        return document


@dataclass(frozen=True, slots=True)
class Overlay:
    """Reads open texts before files."""

    texts: Mapping[str, str]

    def read(self, path: str) -> Source:
        text = self.texts.get(identity(path))
        return FileLoader().read(path) if text is None else Source(path, text)
