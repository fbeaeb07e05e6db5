"""Packages of the same name from other distributions are noticed and named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline_dsl.shadow import assert_ours, foreign, location


def package(folder: Path, name: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").touch()
    return folder


def test_ours_are_fine() -> None:
    import pipeline_dsl

    assert_ours(Path(pipeline_dsl.__file__).parent.parent)


def test_one_that_is_found_first_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = package(tmp_path / "home", "shadowed_name"), package(tmp_path / "other", "shadowed_name")
    monkeypatch.setattr(sys, "path", [str(other), str(home), *sys.path])
    with pytest.raises(ImportError, match=r"package `shadowed_name` of pipectl is found in .*other"):
        assert_ours(home, ("shadowed_name",))


def test_looking_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = package(tmp_path, "shadowed_name")
    monkeypatch.setattr(sys, "path", [str(home), *sys.path])
    assert location("shadowed_name") == home / "shadowed_name"
    assert "shadowed_name" not in sys.modules


def test_one_that_is_missing_is_left_to_who_imports_it(tmp_path: Path) -> None:
    assert_ours(tmp_path, ("no_such_package_anywhere",))


def test_one_that_was_written_over_ours_is_named(tmp_path: Path) -> None:
    home = package(tmp_path, "executor")
    (home / "executor-23.2.dist-info").mkdir()
    (home / "pipectl-0.1.dist-info").mkdir()
    assert foreign(home, ("executor", "grammar")) == ["executor"]
