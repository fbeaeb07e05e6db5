from __future__ import annotations

import os
from pathlib import Path

import pytest

from serving.access import Access, AccessError
from serving.errors import PermissionDenied, Unauthenticated

TOKEN = "0123456789abcdef"
ENTRY = f'[ada]\ntoken = "{TOKEN}"\ngroups = ["inference"]\n'


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_without_a_file_everybody_may_do_everything() -> None:
    access = Access()
    assert access.open
    access.caller(None).require("model-repository")
    access.caller("Bearer whatever").require("inference")


def test_a_token_opens_its_groups_and_health(tmp_path: Path) -> None:
    caller = Access(written(tmp_path / "tokens", ENTRY)).caller(f"Bearer {TOKEN}")
    assert caller.name == "ada"
    caller.require("inference")
    caller.require("health")
    with pytest.raises(PermissionDenied, match="`ada` is not for `metadata`"):
        caller.require("metadata")


@pytest.mark.parametrize("header", [None, ""])
def test_without_a_token_only_health_is_open(tmp_path: Path, header: str | None) -> None:
    caller = Access(written(tmp_path / "tokens", ENTRY)).caller(header)
    caller.require("health")
    with pytest.raises(Unauthenticated, match="`inference`"):
        caller.require("inference")


@pytest.mark.parametrize("header", [f"Basic {TOKEN}", "Bearer", "Bearer  ", f"Bearer {TOKEN}x", "Bearer \udcff"])
def test_wrong_tokens_are_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        Access(written(tmp_path / "tokens", ENTRY)).caller(header)
    assert TOKEN not in str(caught.value)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "tokens", ENTRY)
    access = Access(path)
    written(path, ENTRY.replace(TOKEN, TOKEN[::-1]))
    os.utime(path, ns=(1, 1))
    assert access.caller(f"Bearer {TOKEN[::-1]}").name == "ada"
    with pytest.raises(Unauthenticated):
        access.caller(f"Bearer {TOKEN}")
    written(path, "[ada")
    os.utime(path, ns=(2, 2))
    assert access.caller(f"Bearer {TOKEN[::-1]}").name == "ada"
    assert "tokens are as before" in caplog.text
    path.unlink()
    assert access.caller(f"Bearer {TOKEN[::-1]}").name == "ada"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[ada", "no TOML"),
        ('[ada]\ntoken = "short"\ngroups = []', "16 characters"),
        (f'[ada]\ntoken = "{TOKEN}"\ngroups = ["everything"]', "'everything'"),
        (f'[ada]\ntoken = "{TOKEN}"\ngroups = "inference"', "inference"),
        (f'[ada]\ntoken = "{TOKEN}"', "both"),
        (f"{ENTRY}[bob]\ntoken = '{TOKEN}'\ngroups = []", r"\[bob\] has the token of another"),
    ],
)
def test_files_with_mistakes_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AccessError, match=words):
        Access(written(tmp_path / "tokens", text))


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="chmod 600"):
        Access(written(tmp_path / "tokens", ENTRY, 0o644))
    with pytest.raises(AccessError, match="No such file"):
        Access(tmp_path / "nothing")
