from __future__ import annotations

from pathlib import Path

import pytest

from serving.sources import SourceError, sources


def folder(root: Path, *files: str, **policies: str) -> Path:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("pipe 1\n")
    for name, text in policies.items():
        (root / name).mkdir(exist_ok=True)
        (root / name / "pipe.toml").write_text(text)
    return root


def found(root: Path) -> list[tuple[str, int]]:
    return [(str(s.path.relative_to(root)), s.version) for s in sources(root)]


def test_a_file_is_version_1(tmp_path: Path) -> None:
    folder(tmp_path, "a.pipe")
    (source,) = sources(tmp_path / "a.pipe", "gpu", {"N": "3"})
    assert (source.version, source.profile, source.params) == (1, "gpu", {"N": "3"})


def test_a_folder_is_a_repository(tmp_path: Path) -> None:
    folder(tmp_path, "plain.pipe", "embed/1/e.pipe", "embed/3/e.pipe", "embed/notes/e.pipe", "empty/1/readme.md")
    assert found(tmp_path) == [("plain.pipe", 1), ("embed/3/e.pipe", 3)]


@pytest.mark.parametrize(
    ("policy", "versions"),
    [
        ("", [3]),
        ("latest = 2", [2, 3]),
        ('versions = "all"', [1, 2, 3]),
        ("versions = [3, 1]", [1, 3]),
    ],
)
def test_the_policy_chooses_versions(tmp_path: Path, policy: str, versions: list[int]) -> None:
    folder(tmp_path, "e/1/e.pipe", "e/2/e.pipe", "e/3/e.pipe", e=policy)
    assert [version for _, version in found(tmp_path)] == versions


def test_the_policy_gives_profile_and_params_below_the_command_line(tmp_path: Path) -> None:
    folder(tmp_path, "e/1/e.pipe", e='profile = "gpu"\nparams = { N = 3, MODE = "fast", SMALL = true }')
    (source,) = sources(tmp_path, None, {"N": "4"})
    assert source.profile == "gpu"
    assert source.params == {"N": "4", "MODE": "fast", "SMALL": "true"}


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("versions = [4]", "no version 4; versions: 1"),
        ('versions = "newest"', '"latest", "all" or a list'),
        ("latest = 0", "from 1"),
        ("verisons = [1]", "no key `verisons`"),
        ("params = 3", "NAME = value"),
        ("profile = 3", "write a name"),
        ("versions = ", "pipe.toml"),
    ],
)
def test_policies_with_mistakes_are_refused(tmp_path: Path, policy: str, words: str) -> None:
    folder(tmp_path, "e/1/e.pipe", e=policy)
    with pytest.raises(SourceError, match=words):
        sources(tmp_path)


def test_a_folder_with_nothing_to_serve_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no \.pipe files"):
        sources(tmp_path)
