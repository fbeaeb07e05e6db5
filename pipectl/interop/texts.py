"""Files that others wrote, as text."""

from __future__ import annotations

from pathlib import Path

from pipectl.errors import ConversionError


def text_of(path: Path, mib: int, what: str) -> str:
    """The text of a file of UTF-8. ConversionError if it can not be read, is no UTF-8, or has more than `mib` MiB,
    which no `what` has."""
    largest = mib << 20
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
    except OSError as error:
        raise ConversionError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if len(raw) > largest:
        raise ConversionError(f"{path}: it is larger than {mib} MiB, which is no {what}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConversionError(f"{path}:{line}: byte {error.start} is no UTF-8", "save it as UTF-8") from error
