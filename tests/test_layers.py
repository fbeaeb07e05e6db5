"""A package imports only from those to its left, in-function and type-only imports included.

    grammar < pipeline_dsl < backends < executor < serving < pipectl

Imports under `if TYPE_CHECKING` count as well: a type that a lower layer needs belongs to the lower layer.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("grammar", "pipeline_dsl", "backends", "executor", "serving", "pipectl")


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and top-level package of each absolute or relative import, and of `import_module("x")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, _origin(node, package)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            yield from ((node.lineno, name.partition(".")[0] or package[0]) for name in names)


def _origin(node: ast.ImportFrom, package: tuple[str, ...]) -> str:
    base = package[: len(package) + 1 - node.level] if node.level else ()
    if node.level and not base:
        return node.names[0].name  # above the package: nothing of ours may do that
    return (*base, *(node.module or "").split("."))[0]


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def upward(tree: ast.AST, package: tuple[str, ...]) -> list[tuple[int, str]]:
    """The imports that break the rule."""
    above = LAYERS[LAYERS.index(package[0]) + 1 :]
    return [(line, name) for line, name in imported(tree, package) if name in above]


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if (ROOT / layer).is_dir()])
def test_no_package_imports_upward(layer: str) -> None:
    broken = []
    for path in sorted((ROOT / layer).rglob("*.py")):
        package = path.relative_to(ROOT).parent.parts
        tree = ast.parse(path.read_text(encoding="utf-8"))
        broken += [f"{path.relative_to(ROOT)}:{line} imports {name}" for line, name in upward(tree, package)]
    assert broken == []


@pytest.mark.parametrize(
    "text",
    [
        "import executor",
        "import numpy, executor.engine",
        "from executor.engine import Engine",
        "def f():\n    from executor import Engine",
        "if TYPE_CHECKING:\n    from executor import Engine",
        "import importlib\nimportlib.import_module('executor.engine')",
        "from .. import executor",
    ],
)
def test_the_rule_sees_every_kind_of_import(text: str) -> None:
    assert [name for _, name in upward(ast.parse(text), ("backends",))] == ["executor"]


def test_downward_and_sideways_is_fine() -> None:
    text = "from pipeline_dsl.plan import Plan\nfrom .base import Batch\nfrom . import values\nimport numpy"
    assert upward(ast.parse(text), ("backends",)) == []
