"""Files as they were in a revision of git: a `Loader` for the compiler."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline_dsl.source import Source

from .errors import OptionError

LARGEST = 4 << 20


def repository_of(path: Path) -> Path:
    """The working tree that a file is in. OptionError if it is in none."""
    folder = path.resolve().parent
    done = _git(folder, "rev-parse", "--show-toplevel")
    if done.returncode:
        raise OptionError(f"{path} is in no git repository", "name a file: --against old.pipe")
    return Path(done.stdout.decode().rstrip("\n"))


@dataclass(frozen=True, slots=True)
class RevisionLoader:
    """Reads files of a working tree as a revision has them; called by their paths."""

    root: Path
    revision: str

    def source(self, path: Path) -> Source:
        """The file at a revision. OptionError where there is none."""
        try:
            return self.read(str(path))
        except (OSError, ValueError) as error:
            raise OptionError(f"{self.revision} has no {path}: {error}", "name a revision that has the file") from error

    def read(self, path: str) -> Source:
        """The text at a path. FileNotFoundError if the revision has no such file."""
        place = Path(os.path.relpath(Path(path).resolve(), self.root)).as_posix()
        done = _git(self.root, "show", f"{self.revision}:{place}")
        if done.returncode:
            raise FileNotFoundError(done.stderr.decode(errors="replace").strip().removeprefix("fatal: "))
        if len(done.stdout) > LARGEST:
            raise ValueError("it is larger than 4 MiB")
        return Source(path, done.stdout.decode("utf-8"))


def revision(text: str) -> str:
    """A name of a revision. OptionError for what git would take for an option."""
    if text.startswith("-") or not text or "\0" in text:
        raise OptionError(f"`{text}` is no revision", "name one: --against main")
    return text


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, timeout=60, check=False)
    except FileNotFoundError as error:
        raise OptionError("git is not installed", "name a file: --against old.pipe") from error
