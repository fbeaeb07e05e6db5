"""`pipectl breaking`: against a file, and against a revision of git."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

LIB = """pipe 1

type Row = f32[*, 3]

stage f(x: Row) -> (y: Row) using python("code:f")
"""
OLD = """pipe 1

from "lib.pipe" import f, Row

pipeline p(x: Row) -> (y: Row) {
  return y = f(x)
}
"""
NEW = OLD.replace("p(x: Row)", "p(x: Row, k: i32)")


def git(*arguments: str) -> None:
    names = ("GIT_AUTHOR", "GIT_COMMITTER")
    who = {f"{n}_{part}": "nobody" for n in names for part in ("NAME", "EMAIL")}
    isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", *arguments], check=True, capture_output=True, env={**os.environ, **who, **isolated})


@pytest.fixture
def repository(folder):
    """A history of one commit, and a change in the working tree: also in the file that is imported."""
    Path("d").mkdir()
    Path("d/lib.pipe").write_text(LIB)
    Path("d/p.pipe").write_text(OLD)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "old")
    Path("d/p.pipe").write_text(NEW)
    Path("d/lib.pipe").write_text(LIB.replace("f32[*, 3]", "f32[*, 4]"))
    return folder


def test_against_a_revision_with_its_imports(repository, call):
    done = call("breaking", "d/p.pipe", "--against", "HEAD", "--format", "json")
    assert done.code == 1
    found = json.loads(done.out)
    found = found["diagnostics"] if isinstance(found, dict) else found
    messages = [d["message"] for d in found]
    assert len(messages) == 3
    assert any("input `k` is new" in m for m in messages)
    assert any("input `x` was f32[*, 3] and is f32[*, 4]" in m for m in messages)
    assert any("output `y` was f32[*, 3] and is f32[*, 4]" in m for m in messages)


def test_against_a_file(folder, call):
    Path("lib.pipe").write_text(LIB)
    Path("old.pipe").write_text(OLD)
    Path("new.pipe").write_text(NEW)
    assert call("breaking", "new.pipe", "--against", "old.pipe").code == 1
    done = call("breaking", "old.pipe", "--against", "new.pipe")
    assert (done.code, "input `k` is gone" in done.out) == (1, True)
    done = call("breaking", "old.pipe", "--against", "old.pipe")
    assert (done.code, done.out) == (0, "old.pipe keeps what old.pipe promises, pipelines: 1\n")


@pytest.mark.parametrize(
    ("against", "code", "message"),
    [
        ("nowhere", 2, "nowhere has no d/p.pipe: "),
        ("--output=x", 2, "`--output=x` is no revision"),
        ("HEAD:d/lib.pipe", 2, "has no d/p.pipe"),
    ],
)
def test_a_revision_that_is_none(repository, call, against, code, message):
    done = call("breaking", "d/p.pipe", f"--against={against}")
    assert done.code == code
    assert message in done.err
    assert not Path("x").exists()


def test_a_file_outside_of_git(folder, call, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    Path("p.pipe").write_text(OLD)
    done = call("breaking", "p.pipe", "--against", "HEAD")
    assert (done.code, "p.pipe is in no git repository" in done.err) == (2, True)


def test_signatures_with_mistakes(folder, call):
    Path("old.pipe").write_text(OLD.replace("Row", "Rou", 2))
    Path("new.pipe").write_text("pipe 1\n")
    assert call("breaking", "new.pipe", "--against", "old.pipe").code == 3


def test_control_flow_in_bodies_does_not_matter(folder, call):
    body = '  y = if c {\n    yield "a"\n  } else {\n    yield "b"\n  }\n  return y\n'
    Path("p.pipe").write_text(f"pipe 1\n\npipeline p(c: bool) -> (y: string) {{\n{body}}}\n")
    assert call("breaking", "p.pipe", "--against", "p.pipe").code == 0
