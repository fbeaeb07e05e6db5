"""Built engines on disk: a file for each model, version of the library, device, set of profiles and options.

A file begins with a line of JSON that repeats its key and the sha256 of what follows. What does not agree with it is
built again. That finds files that are cut off, or belong to another key; it is no proof against someone who may write
to the folder, and an engine holds code of the device: the folder belongs to the user alone."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from pipeline_dsl.plan import StagePlan

from .build import Options
from .profiles import Profile

_FORMAT = 1
_BLOCK = 1 << 20


def fingerprint(model: bytes, path: Path) -> str:
    """sha256 of an ONNX file and of the files beside it that hold its weights, hex.

    Files with weights are named in the model; every file below its folder whose name occurs in it counts."""
    digest = hashlib.sha256(model)
    if b"location" in model:  # the key under which the name of such a file is given
        for other in sorted(p for p in path.parent.rglob("*") if p.is_file() and p != path):
            name = other.relative_to(path.parent).as_posix()
            if name.encode() in model:
                digest.update(f"\n{name}\n".encode())
                _update(digest, other)
    return digest.hexdigest()


def key_of(
    model: str, library: str, version: str, capability: str, profiles: Sequence[Profile], options: Options
) -> str:
    """Key of an engine, hex: all that decides what is built. `model` is its fingerprint."""
    ranges = [{name: [astuple(r) for r in axes] for name, axes in profile.items()} for profile in profiles]
    parts = [_FORMAT, model, library, version, capability, ranges, astuple(options), "strongly typed"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def folder_of(stage: StagePlan) -> Path:
    """Where the stage's engines are kept: its key `cache`, else a folder in the user's cache."""
    given = str(stage.arguments.get("cache", ""))
    if given:
        return Path(stage.folder, given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pipectl" / "tensorrt"


def file_of(folder: Path, model: Path, key: str) -> Path:
    """The file of a key; it begins with the model's name, for those who look into the folder."""
    return folder / f"{model.stem}-{key[:32]}.engine"


def read(path: Path, key: str) -> bytes | None:
    """The engine in a file; None if there is none, or not the one of this key, or not all of it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    line, _, plan = content.partition(b"\n")
    try:
        head = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(head, dict) and head.get("key") == key and head.get("sha256") == hashlib.sha256(plan).hexdigest()
    return plan if whole else None


def write(path: Path, key: str, plan: bytes) -> None:
    """Keep an engine. A reader sees the old file or the new one. A folder that can not be written is a warning."""
    head = json.dumps({"key": key, "sha256": hashlib.sha256(plan).hexdigest()}).encode()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(head + b"\n")
                file.write(plan)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        logging.getLogger("pipectl.tensorrt").warning("the engine is not kept in %s: %s", path.parent, error)


def _update(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
