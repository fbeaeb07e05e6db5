"""Libraries that only conversions need, and what to say when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipectl.errors import OptionError


@contextmanager
def needed(module: str, package: str) -> Iterator[None]:
    """Imports in the body may need a package: OptionError with what to install if it is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module:
            raise
        raise OptionError(f"this needs the package {package}", "pip install 'pipectl[interop]'") from error
