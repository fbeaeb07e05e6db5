"""One server of the examples and the language's constructs, for all tests of this folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.e2e.serving.process import Served, served
from tests.e2e.serving.programs import language
from tests.examples.conftest import EXAMPLES, prepared


@pytest.fixture(scope="session")
def scans() -> list[bytes]:
    """Images of single digits."""
    folder = prepared("digits") / "data" / "held_out"
    return [path.read_bytes() for path in sorted(folder.glob("*.png"))[:20]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Ended by SIGTERM: nothing that a test did may keep it, or have left a traceback in its log."""
    paths = [EXAMPLES / "hello" / "hello.pipe", prepared("digits") / "digits.pipe", prepared("embed") / "embed.pipe"]
    options = ("--model-control", "explicit", "--allow-client-shm", "--header-forward", "x-.*")
    with served(*paths, language(tmp_path_factory.mktemp("language")), *options) as found:
        yield found
        assert found.end(signal.SIGTERM) == 0, found.log
        assert "Traceback" not in found.log, found.log
