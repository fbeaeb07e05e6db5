"""Prepares what an example ignores in git (models, data), once for all workers and runs."""

import fcntl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def run(*arguments: str | Path) -> str:
    """What `python ARGUMENTS` prints, started in the repository's root; a failure shows what it said."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, cwd=ROOT, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One test worker at a time."""
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def prepared(name: str) -> Path:
    """The folder of example `name`, with `prepare.py` run where a script is newer than what it made.

    `make run` keeps the same rule by the same file, `models/.prepared`.
    """
    folder = EXAMPLES / name
    done = folder / "models" / ".prepared"
    done.parent.mkdir(exist_ok=True)
    with alone(done.parent / ".lock"):
        newest = max(script.stat().st_mtime for script in folder.rglob("*.py"))
        if not done.exists() or done.stat().st_mtime < newest:
            run(folder / "prepare.py")
    return folder


@pytest.fixture(scope="session")
def python() -> Callable[..., str]:
    return run


@pytest.fixture(scope="session")
def hello() -> Path:
    return EXAMPLES / "hello"


@pytest.fixture(scope="session")
def digits() -> Path:
    return prepared("digits")


@pytest.fixture(scope="session")
def embed() -> Path:
    return prepared("embed")


@pytest.fixture(scope="session")
def ocr_like() -> Path:
    return prepared("ocr_like")


@pytest.fixture(scope="session")
def sheet() -> Path:
    return prepared("sheet")


@pytest.fixture(scope="session")
def cascade() -> Path:
    return prepared("cascade")


@pytest.fixture(scope="session")
def canary() -> Path:
    return prepared("canary")


@pytest.fixture(scope="session")
def fallback() -> Path:
    return EXAMPLES / "fallback"


@pytest.fixture(scope="session")
def stream() -> Path:
    return EXAMPLES / "stream"


@pytest.fixture(scope="session")
def sequence() -> Path:
    return prepared("sequence")


@pytest.fixture(scope="session")
def worked(embed: Path) -> Path:
    """Behind `embed`, whose encoder it takes."""
    return prepared("worked")
