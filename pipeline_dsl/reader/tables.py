"""The LALR tables of the grammar, built once and kept in the user's cache folder.

`load()` gives a ready Lark parser. Building it takes a few tenths of a second, reading the kept tables a tenth of
that. They are kept only in a folder that nobody else can write to, since reading them runs code; without one, or
where writing fails, they are built in memory.
"""

from __future__ import annotations

import os
import stat
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import cast

import lark

import grammar

from .transform import RULES, Rules

FOLDER_VARIABLE = "PIPECTL_CACHE_DIR"
"""Names the folder to use; an empty value keeps nothing."""


@cache
def load() -> lark.Lark:
    """The parser of the newest edition."""
    return build(kept_at())


def build(kept: Path | None) -> lark.Lark:
    """A parser; its tables are read from `kept` or written there."""
    return lark.Lark(
        grammar.text(),
        parser="lalr",
        lexer="contextual",
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=cast("lark.Transformer[Rules, object]", RULES),
        cache=str(kept) if kept else False,
    )


@cache
def words() -> dict[str, str]:
    """Terminal of each keyword."""
    return {text: name for text, name in _fixed().items() if text.isidentifier()}


@cache
def operators() -> dict[str, str]:
    """Terminal of each operator and bracket."""
    found = {text: name for text, name in _fixed().items() if not text.isidentifier()}
    return found | dict.fromkeys(("==", "!=", "<=", ">=", "<", ">"), "CMP")


@cache
def spellings() -> dict[str, str]:
    """Text of each terminal that has but one."""
    return {name: text for text, name in _fixed().items()}


def _fixed() -> dict[str, str]:
    return {t.pattern.value: t.name for t in load().terminals if isinstance(t.pattern, lark.lexer.PatternStr)}


def kept_at() -> Path | None:
    """The file the tables are kept in; None where no safe folder can be had."""
    folder = _folder()
    if folder is None or not _private(folder):
        return None
    version = f"{lark.__version__}-{sys.version_info[0]}.{sys.version_info[1]}"
    digest = sha256(f"{version}\n{grammar.text()}".encode()).hexdigest()[:16]
    return folder / f"grammar-{digest}.tables"


def _folder() -> Path | None:
    named = os.environ.get(FOLDER_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pipectl" if os.path.isabs(base) else None


def _private(folder: Path) -> bool:
    """Makes the folder; whether it is ours and closed to writing by others."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(found.st_mode) or not os.access(folder, os.W_OK):
        return False
    owned = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return owned and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
