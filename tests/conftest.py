"""`pytest --on sim`: every engine of the suite runs its stages on simulated devices."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on", choices=["host", "sim"], default="host", help="where stages run: the host, or a simulator")


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
