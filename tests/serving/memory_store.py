"""Stores of tests: fsspec's memory, and a file system that lies."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from uuid import uuid4

import fsspec
from fsspec.spec import AbstractFileSystem


class Memory:
    """A folder of its own in fsspec's memory."""

    def __init__(self) -> None:
        self.url = f"memory://{uuid4().hex}"
        self._fs = fsspec.filesystem("memory")

    def write(self, name: str, data: str | bytes) -> None:
        self._fs.pipe_file(f"{self.url}/{name}", data.encode() if isinstance(data, str) else data)

    def remove(self, name: str) -> None:
        self._fs.rm_file(f"{self.url}/{name}")


@contextmanager
def memory() -> Iterator[Memory]:
    made = Memory()
    try:
        yield made
    finally:
        fs = fsspec.filesystem("memory")
        if fs.exists(made.url):
            fs.rm(made.url, recursive=True)


class Lying(AbstractFileSystem):
    """`lying://`: lists what it is told to, and gives other bytes or raises."""

    protocol = "lying"
    root_marker = ""
    files: ClassVar[dict[str, dict[str, Any]]] = {}
    """Listed, by path."""
    data: ClassVar[dict[str, bytes | Exception]] = {}

    def find(self, path: str, *args: Any, **more: Any) -> dict[str, dict[str, Any]]:
        return dict(self.files)

    def open(self, path: str, *args: Any, **more: Any) -> Any:
        found = self.data[path]
        if isinstance(found, Exception):
            raise found
        return io.BytesIO(found)


fsspec.register_implementation("lying", Lying, clobber=True)


def lie(files: dict[str, int | None], data: dict[str, bytes | Exception] | None = None) -> str:
    """The URL of a store that lists these sizes below `root`, and gives this data."""
    Lying.files = {f"root/{n}": {"name": f"root/{n}", "size": size, "type": "file"} for n, size in files.items()}
    Lying.data = {f"root/{n}": content for n, content in (data or {}).items()}
    return "lying://root"
