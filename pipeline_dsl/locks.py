"""Lock files: what `pipectl lock` saw in the artifacts of a `.pipe` file, so that `check` opens no models.

`x.pipe.lock` stands beside `x.pipe`; JSON, sorted, one stage after the other, made to be read in a diff.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SUFFIX = ".lock"
VERSION = 1


@dataclass(frozen=True, slots=True)
class LockedTensor:
    """A tensor of an artifact. A size is a number, a name, or None where the artifact leaves it open."""

    name: str
    dtype: str
    """The language's name; another text for what the language has no dtype for."""
    shape: tuple[int | str | None, ...] | None
    """None where the artifact does not say."""

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name}: {self.dtype}"
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype}" + (f"[{sizes}]" if self.shape else "")


@dataclass(frozen=True, slots=True)
class LockedStage:
    """What was found for one stage. `inputs` and `outputs` None: its artifact does not say."""

    artifacts: Mapping[str, str]
    """`sha256:..` of each file, by its path as the `.pipe` file writes it."""
    inputs: tuple[LockedTensor, ...] | None = None
    outputs: tuple[LockedTensor, ...] | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """The stages of one file, by name."""

    stages: Mapping[str, LockedStage] = field(default_factory=dict)


class BadLock(ValueError):
    """A text that is no lock file; says where and why."""


def text_of(lock: Lock) -> str:
    """The lock as text."""
    stages = {name: _stage_data(stage) for name, stage in sorted(lock.stages.items())}
    return json.dumps({"lock": VERSION, "stages": stages}, indent=2, ensure_ascii=False) + "\n"


def read_lock(text: str) -> Lock:
    """The lock of a text. BadLock for anything else."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadLock(f"it is no JSON: {error}") from error
    version = _of(data, dict, "the file").get("lock")
    if version != VERSION:
        raise BadLock(f"its version is {version!r}, and this pipectl knows {VERSION}")
    stages = _of(data.get("stages"), dict, "`stages`")
    return Lock({name: _stage(stage, f"stage `{name}`") for name, stage in stages.items()})


# ---- data


def _stage_data(stage: LockedStage) -> dict[str, Any]:
    data: dict[str, Any] = {"artifacts": dict(sorted(stage.artifacts.items()))}
    for side, tensors in (("inputs", stage.inputs), ("outputs", stage.outputs)):
        if tensors is not None:
            data[side] = [{"name": t.name, "dtype": t.dtype, "shape": t.shape} for t in tensors]
    return data


def _of(value: Any, kind: type, place: str) -> Any:
    if not isinstance(value, kind):
        raise BadLock(f"{place} needs {'an object' if kind is dict else 'a list' if kind is list else 'a text'}")
    return value


def _stage(data: Any, place: str) -> LockedStage:
    fields = _of(data, dict, place)
    artifacts = _of(fields.get("artifacts", {}), dict, f"`artifacts` of {place}")
    for path, digest in artifacts.items():
        _of(digest, str, f"`{path}` of {place}")
    return LockedStage(artifacts, _tensors(fields, "inputs", place), _tensors(fields, "outputs", place))


def _tensors(fields: Mapping[str, Any], side: str, place: str) -> tuple[LockedTensor, ...] | None:
    if side not in fields:
        return None
    listed = _of(fields[side], list, f"`{side}` of {place}")
    return tuple(_tensor(one, f"a tensor in `{side}` of {place}") for one in listed)


def _tensor(data: Any, place: str) -> LockedTensor:
    fields = _of(data, dict, place)
    shape = fields.get("shape")
    if shape is not None:
        for size in _of(shape, list, f"`shape` of {place}"):
            if isinstance(size, bool) or not isinstance(size, int | str | None):
                raise BadLock(f"`shape` of {place} has {size!r}, which is no size")
    name, dtype = (_of(fields.get(key), str, f"`{key}` of {place}") for key in ("name", "dtype"))
    return LockedTensor(name, dtype, None if shape is None else tuple(shape))
