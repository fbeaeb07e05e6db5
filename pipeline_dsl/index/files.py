"""Which files a file is made of."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline_dsl import syntax
from pipeline_dsl.check.load import candidates
from pipeline_dsl.check.programs import scopes_of
from pipeline_dsl.check.scope import Scope
from pipeline_dsl.locks import SUFFIX


def files_of(scope: Scope) -> Iterator[str]:
    """Paths of a file, of all it imports and of their lock files, those that are missing included: one that appears
    changes the answer."""
    for each in scopes_of(scope):
        path = each.module.source.path
        yield path
        yield path + SUFFIX
        for decl in each.module.decls:
            if isinstance(decl, syntax.Import | syntax.FromImport):
                yield from candidates(decl.path, path, each.options.search_path)
