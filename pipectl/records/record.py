"""A recorded request, and its file.

    App + Tap --taken--> Record --write--> request.npz --read--> Record

The file is an .npz that numpy opens too: arrays `a0`, `a1`, .. and `record.json`, which says what they are.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from executor.errors import RequestError
from executor.tap import Visit
from pipectl.errors import OptionError, OutputError
from pipeline_dsl.ir import Binding

from .values import Array, Packer, unpack

EDITION = 1
"""Of the file's form."""
INDEX = "record.json"


@dataclass(frozen=True, slots=True)
class Step:
    """What went through one call for one element."""

    node: str
    stage: str
    binding: Binding
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    error: str = ""
    """`INTERNAL: text`, or "" where it has outputs."""


@dataclass(frozen=True, slots=True)
class Record:
    """One request. `outputs` is empty where it failed."""

    pipeline: str
    digest: str
    """Of the plan it ran on."""
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    error: str = ""
    steps: Sequence[Step] = field(default_factory=tuple)
    """In the order in which they began."""


def step_of(visit: Visit) -> Step:
    """A visit as it is kept."""
    return Step(visit.node, visit.stage, visit.binding, visit.inputs, visit.outputs, error_text(visit.error))


def error_text(error: RequestError | None) -> str:
    """`INTERNAL: oops`; without request and instance, which differ from run to run."""
    return "" if error is None else f"{error.grpc_code}: {error.message}"


def write(record: Record, path: Path) -> None:
    """Write the file whole, or not at all. OutputError if it can not be written."""
    packer = Packer()
    index = {
        "edition": EDITION,
        "pipeline": record.pipeline,
        "digest": record.digest,
        "inputs": _packed(packer, record.inputs),
        "outputs": _packed(packer, record.outputs),
        "error": record.error,
        "steps": [
            {
                "node": s.node,
                "stage": s.stage,
                "binding": s.binding,
                "inputs": _packed(packer, s.inputs),
                "outputs": _packed(packer, s.outputs),
                "error": s.error,
            }
            for s in record.steps
        ],
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            archive.writestr(INDEX, msgspec.json.encode(index))
            for name, array in packer.arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.ascontiguousarray(array), allow_pickle=False)
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"can not write `{path}`: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: Path) -> Record:
    """OptionError if it is no record that this version reads."""
    try:
        with zipfile.ZipFile(path) as archive:
            index = msgspec.json.decode(archive.read(INDEX))
            arrays = {name[:-4]: _array(archive, name) for name in archive.namelist() if name.endswith(".npy")}
        if index["edition"] != EDITION:
            raise OptionError(f"`{path}` is a record of edition {index['edition']}, not {EDITION}", "record it again")
        return _record(index, arrays)
    except OSError as error:
        raise OptionError(f"can not read `{path}`: {error.strerror}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, msgspec.DecodeError) as error:
        raise OptionError(f"`{path}` is no record: {error}", "`pipectl record` makes one") from None


def _record(index: Mapping[str, Any], arrays: Mapping[str, Array]) -> Record:
    steps = [
        Step(
            s["node"],
            s["stage"],
            s["binding"],
            _unpacked(s["inputs"], arrays),
            _unpacked(s["outputs"], arrays),
            s["error"],
        )
        for s in index["steps"]
    ]
    inputs, outputs = _unpacked(index["inputs"], arrays), _unpacked(index["outputs"], arrays)
    return Record(index["pipeline"], index["digest"], inputs, outputs, index["error"], steps)


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as entry:
        found: Array = np.lib.format.read_array(entry, allow_pickle=False)
    return found


def _packed(packer: Packer, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: packer.pack(value) for name, value in values.items()}


def _unpacked(values: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    return {name: unpack(value, arrays) for name, value in values.items()}
