"""Where the parser's tables are kept, and that nothing depends on it."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from pipeline_dsl.reader import tables


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    chosen = tmp_path / "cache"
    monkeypatch.setenv(tables.FOLDER_VARIABLE, str(chosen))
    return chosen


def test_tables_are_kept_and_read_again(folder: Path) -> None:
    path = tables.kept_at()
    assert path is not None
    assert path.parent == folder
    built = tables.build(path)
    assert path.is_file()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = path.stat().st_mtime_ns
    again = tables.build(path)
    assert path.stat().st_mtime_ns == kept
    assert {t.name for t in again.terminals} == {t.name for t in built.terminals}


def test_damaged_tables_are_built_anew(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tables.kept_at()
    assert path is not None
    path.write_bytes(b"no tables")
    caplog.set_level(logging.CRITICAL)
    assert tables.build(path).terminals
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_others_can_write_to_is_not_used(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    assert tables.kept_at() is None


def test_a_link_is_not_used(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "real")
    assert tables.kept_at() is None


def test_no_folder_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(tables.FOLDER_VARIABLE, "")
    assert tables.kept_at() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(tables.FOLDER_VARIABLE, str(tmp_path / "file" / "below"))
    assert tables.kept_at() is None
    assert tables.build(None).terminals


def test_the_name_follows_the_grammar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tables.kept_at()
    monkeypatch.setattr("grammar.text", lambda: "start: A\nA: /a/")
    after = tables.kept_at()
    assert before is not None
    assert after is not None
    assert before != after


def test_the_users_cache_folder_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(tables.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", os.fspath(tmp_path))
    path = tables.kept_at()
    assert path is not None
    assert path.parent == tmp_path / "pipectl"
