"""Every .pipe file of the examples is free of mistakes and warnings and has the one layout."""

from pathlib import Path

FILES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*/*.pipe"))


def test_all_of_them_are_clean(python):
    assert len(FILES) >= 4
    assert "warning" not in python("-m", "pipectl", "check", *FILES)


def test_all_of_them_are_formatted(python):
    python("-m", "pipectl", "fmt", "--check", *FILES)
