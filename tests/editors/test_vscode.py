"""The VS Code extension: its grammar is that of the tables, its tests pass, and it packages.

What needs node runs in a copy, with the packages of the lock file; without node, or where no registry of npm packages
can be reached, it is skipped with that reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "editors" / "vscode"
UNREACHABLE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("textmate", ROOT / "scripts" / "textmate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- without node


@pytest.mark.parametrize("name", ["pipe.tmLanguage.json", "tour.json", "broken.json"])
def test_generated_files_are_those_of_the_tables(name: str) -> None:
    path, text = next((p, t) for p, t in script().files().items() if p.name == name)
    if os.environ.get("PIPECTL_BLESS") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run `python scripts/textmate.py`"


def test_the_tour_is_a_text_that_parses() -> None:
    sink = Sink()
    text = (EXTENSION / "test" / "samples" / "tour.pipe").read_text(encoding="utf-8")
    parse(Source("tour.pipe", text), sink)
    assert sink.sorted() == []


def test_every_keyword_of_the_grammar_is_in_the_tour() -> None:
    from pipeline_dsl.reader import tables

    text = (EXTENSION / "test" / "samples" / "tour.pipe").read_text(encoding="utf-8")
    found = {text[start:end] for start, end, kind in script().classes(text) if kind == "keyword"}
    assert found == set(tables.words())


def test_numbers_are_those_of_the_lexer() -> None:
    kinds = dict(script()._numbers())
    assert kinds["percent"] == r"[0-9]+(?:\.[0-9]+)?%"
    assert kinds["int"] == "[0-9]+"


def test_columns_count_utf16_and_long_tokens_come_in_pieces() -> None:
    lines = script().lines_of('pipe 1\nconst A = "🦜" # x\nconst B = """a\nb"""\n')
    assert lines[1] == [[0, 5, "keyword"], [6, 7, "name"], [8, 9, "operator"], [10, 14, "string"], [15, 18, "comment"]]
    assert lines[2][-1] == [10, 14, "string"]
    assert lines[3] == [[0, 4, "string"]]


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((EXTENSION / "package-lock.json").read_text(encoding="utf-8"))
    packages = [p for name, p in lock["packages"].items() if name]
    assert packages
    assert all("integrity" in p and "resolved" not in p for p in packages)


def test_the_manifest_starts_the_command_that_there_is() -> None:
    from pipectl.__main__ import COMMANDS

    manifest = json.loads((EXTENSION / "package.json").read_text(encoding="utf-8"))
    assert manifest["contributes"]["configuration"]["properties"]["pipectl.command"]["default"] == ["pipectl"]
    assert "lsp" in COMMANDS


# ---- with node


def npm(folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "CI": "1", **environ}
    return subprocess.run(
        ["npm", *words], cwd=folder, capture_output=True, text=True, env=env, timeout=170, check=False
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension with its packages, in a folder of its own."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("vscode") / "vscode"
    shutil.copytree(EXTENSION, folder, ignore=shutil.ignore_patterns("node_modules", "*.vsix"))
    done = npm(folder, "ci", "--prefer-offline")
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip("no registry of npm packages can be reached")
    assert done.returncode == 0, done.stderr
    return folder


def pipe_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.pipe"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.split("\n") if listed.returncode == 0 else []
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_its_own_tests_pass_with_the_tokens_of_all_files_and_a_server(copy: Path, tmp_path: Path) -> None:
    lines_of = script().lines_of
    found = []
    for path in pipe_files():
        text = path.read_bytes().decode("utf-8", "replace")
        found.append({"name": str(path.relative_to(ROOT)), "text": text, "lines": lines_of(text)})
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps(found), encoding="utf-8")
    environ = {"PIPECTL_COMMAND": json.dumps([sys.executable, "-m", "pipectl"]), "PYTHONPATH": str(ROOT)}
    if found:
        environ["PIPE_TOKENS"] = str(tokens)
    done = npm(copy, "test", **environ)
    assert done.returncode == 0, done.stdout
    assert "# skipped 0" in done.stdout or not found


def test_it_packages(copy: Path) -> None:
    done = npm(copy, "run", "package")
    assert done.returncode == 0, done.stdout + done.stderr
    names = set(zipfile.ZipFile(copy / "pipe-language.vsix").namelist())
    wanted = ("package.json", "src/extension.js", "src/command.js", "syntaxes/pipe.tmLanguage.json")
    assert {f"extension/{name}" for name in wanted} <= names
    assert "extension/node_modules/vscode-languageclient/package.json" in names
    assert not any(
        "vscode-textmate" in name or "/test/" in name.removeprefix("extension/node_modules") for name in names
    )
