"""`pytest --on sim`: every engine of the suite runs its stages on simulated devices. `pytest -m gpu`: on a real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on", choices=["host", "sim"], default="host", help="where stages run: the host, or a simulator")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m gpu` only files that hold such tests are looked at: others need packages that a GPU machine may lack."""
    if config.option.markexpr != "gpu":
        return None
    files = [collection_path] if collection_path.is_file() else collection_path.rglob("test_*.py")
    return None if any("mark.gpu" in file.read_text() for file in files) else True


@pytest.fixture(autouse=True)
def _placed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Move the stages of every engine to a simulator, if the run asks for it, and look for races behind each test."""
    if request.config.getoption("--on") == "host":
        yield
        return
    if request.node.get_closest_marker("host"):
        pytest.skip("it looks at memory or copies of the host")
    from tests.simulated import on_simulator

    with on_simulator(request.node.nodeid, monkeypatch):
        yield
