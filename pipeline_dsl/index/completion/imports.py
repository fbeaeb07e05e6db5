"""Files that can be imported, and the names in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from pipeline_dsl import syntax
from pipeline_dsl.check.load import candidates
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.index.index import Index
from pipeline_dsl.index.names import of_declaration
from pipeline_dsl.parse import parse

from .context import Context
from .items import Item, item_of

Lister = Callable[[str], Iterable[str]]
"""The names in a folder, those of folders with `/` at the end."""


def imported(index: Index, context: Context) -> Iterator[Item]:
    """Public names of the file of a `from`. The line does not parse before one is written, so the file is read here."""
    for decl in _declarations(index, context.place.strip('"')):
        private = isinstance(decl, syntax.Pipeline) and decl.private
        if not private and not isinstance(decl, syntax.Import | syntax.FromImport | syntax.Profile):
            yield item_of(of_declaration(decl), decl.name.text)


def _declarations(index: Index, path: str) -> tuple[syntax.Decl, ...]:
    """The declarations of a file that is imported, or could be; none if it can not be read."""
    options = index.scope.options
    for place in candidates(path, index.source.path, options.search_path):
        for scope in index.scope.imported():
            if scope.module.source.path == place:
                return scope.module.decls
        try:
            return parse(options.loader.read(place), Sink()).decls
        except (OSError, ValueError):
            continue
    return ()


def paths(context: Context, index: Index, lister: Lister | None) -> Iterator[Item]:
    """Folders and `.pipe` files beside this one."""
    folder, _, typed = context.place.rpartition("/")
    if lister is None or context.place.startswith("@"):
        return
    base = os.path.join(index.scope.folder, folder)
    here = os.path.basename(index.source.path)
    for name in sorted(lister(base)):
        if name.endswith("/") or (name.endswith(".pipe") and (folder or name != here)):
            yield Item(name, "file", behind=len(typed))
