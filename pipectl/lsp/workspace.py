"""All `.pipe` files that may mention a name: those of the opened folders, open texts before the disk."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from pipeline_dsl.index import Definition, Index

from .analysis import analyse
from .documents import Overlay

MOST = 2000
"""Files that are looked at for one question."""
_SKIPPED = frozenset({"node_modules", "__pycache__", "venv"})


def pipe_files(folders: Iterable[str]) -> Iterator[str]:
    """Paths of the `.pipe` files below some folders, hidden folders left out."""
    count = 0
    for folder in folders:
        for base, below, names in os.walk(folder):
            below[:] = sorted(d for d in below if not d.startswith(".") and d not in _SKIPPED)
            for name in sorted(names):
                if name.endswith(".pipe"):
                    yield os.path.join(base, name)
                    count += 1
                    if count >= MOST:
                        return


def mentioning(definition: Definition, folders: Iterable[str], texts: Mapping[str, str]) -> list[Index]:
    """The indexes of all files that mention a definition, its own file first; made anew, so that places are exact."""
    own = definition.span.source.path
    found = []
    for path in dict.fromkeys((own, *texts, *pipe_files(folders))):
        try:
            source = Overlay(texts).read(path)
        except (OSError, ValueError):
            continue
        if definition.name in source.text:
            index = analyse(path, source.text, 0, texts).index
            if index.mentions(definition):
                found.append(index)
    return found
