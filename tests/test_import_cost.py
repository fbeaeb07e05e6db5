"""What importing costs: each in a fresh interpreter, by what ends up in `sys.modules`. No clock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "cupy", "onnxruntime", "tensorrt", "grpc", "rich", "transformers", "pandas", "pyarrow", "uvicorn"}
COMPILER = "import pipeline_dsl.compile, pipeline_dsl.plan_text, pipeline_dsl.graph_text"


def modules_after(statement: str) -> set[str]:
    """Top-level and full names of what is loaded after a statement in a new interpreter."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = run([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environ, check=False)


@pytest.mark.parametrize("statement", ["import pipeline_dsl", "import pipectl", COMPILER])
def test_nothing_heavy_comes_along(statement: str) -> None:
    assert modules_after(statement) & HEAVY == set()


@pytest.mark.parametrize("statement", ["import pipeline_dsl", "import pipectl"])
def test_names_are_loaded_when_they_are_used(statement: str) -> None:
    assert modules_after(statement) & {"lark", "networkx", "numpy"} == set()


def test_the_compiler_brings_nothing_of_the_layers_above() -> None:
    assert modules_after(COMPILER) & {"backends", "executor", "serving", "pipectl"} == set()


def test_importing_the_compiler_stays_small() -> None:
    ours_and_theirs = {name for name in modules_after("import pipeline_dsl") if "." not in name}
    bare = {name for name in modules_after("pass") if "." not in name}
    assert len(ours_and_theirs - bare) < 60


def test_help_answers() -> None:
    done = run([sys.executable, "-m", "pipectl", "--help"])
    assert done.returncode == 0, done.stderr
    assert all(verb in done.stdout for verb in ("run", "check", "plan", "fmt"))
