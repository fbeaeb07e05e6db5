"""Every .pipe file of the examples is free of mistakes and warnings and has the one layout."""

import re
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(EXAMPLES.rglob("*.pipe"))
TOLD = {
    # `c.prob * s` is one number an item: the wait for it is the price of the text as it was designed.
    EXAMPLES / "worked" / "detect.pipe": ["W0501"],
}


def test_all_of_them_are_clean(python):
    assert len(FILES) >= 17
    assert "warning" not in python("-m", "pipectl", "check", *[file for file in FILES if file not in TOLD])


def test_what_is_told_is_known(python):
    for file, codes in TOLD.items():
        assert re.findall(r"^warning\[(\w+)\]", python("-m", "pipectl", "check", file), re.MULTILINE) == codes


def test_all_of_them_are_formatted(python):
    python("-m", "pipectl", "fmt", "--check", *FILES)
