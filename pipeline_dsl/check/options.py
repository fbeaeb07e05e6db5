"""What a compilation is told from outside: profile, parameters, environment, where imports are found.

`Options` is a value; the only effect behind it is its `Loader`, which reads files. Tests and editors give
their own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline_dsl.plan import DeviceOverride, Hardware
from pipeline_dsl.source import Source

_LARGEST = 4 * 2**20
"""Bytes of a file that is read as text."""


class Loader(Protocol):
    """Reads the files that a module names: imports, and `lines("labels.txt")`."""

    def read(self, path: str) -> Source:
        """The text at a path. OSError if it can not be read, ValueError if it is no text."""


class FileLoader:
    """Reads from the file system."""

    def read(self, path: str) -> Source:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("it is larger than 4 MiB")
        if b"\0" in data:
            raise ValueError("it is no text, it holds NUL bytes")
        return Source(path, data.decode("utf-8"))


@dataclass(frozen=True, slots=True)
class TextLoader:
    """Serves texts from a mapping path -> text; for tests and unsaved files of an editor."""

    texts: Mapping[str, str]

    def read(self, path: str) -> Source:
        try:
            return Source(path, self.texts[path])
        except KeyError:
            raise FileNotFoundError(path) from None


def _environ() -> Mapping[str, str]:
    return dict(os.environ)


@dataclass(frozen=True, slots=True)
class Options:
    """`profile` None: no profile is selected, and all of the main file are checked."""

    profile: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    """`--set NAME=VALUE`, as text; `emb.NAME` for a parameter of an imported module."""
    environ: Mapping[str, str] = field(default_factory=_environ)
    search_path: tuple[str, ...] = ()
    """Folders in which `@pkg/x.pipe` is looked up, as `FOLDER/pkg/x.pipe`."""
    hardware: Hardware | None = None
    """The machine whose devices the checked profiles must find; None: any machine."""
    device: DeviceOverride = ""
    """Goes before what profiles say of devices, which is not checked then."""
    serial: bool = False
    """Plan for one stream on each device, see `Plan.serial`."""
    backends: Callable[[], Collection[str]] = tuple
    """Names of the backends that are installed; asked only for a name that is not one of ours."""
    loader: Loader = field(default_factory=FileLoader)
