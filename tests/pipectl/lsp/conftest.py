"""One session for the tests of a module; the server must end well and have had nothing to show."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .editor import Editor


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    session = Editor(tmp_path_factory.mktemp("folder"))
    yield session
    assert session.stop() == 0
    assert session.messages == []


@pytest.fixture
def editor(shared: Editor) -> Iterator[Editor]:
    """The session without open texts and files."""
    yield shared
    for uri in list(shared.versions):
        shared.close(uri)
    for path in Path(shared.folder).iterdir():
        path.unlink()
    shared.published.clear()
