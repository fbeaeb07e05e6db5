"""Packages that AOTInductor compiled: machine code for one kind of device, loaded where a stage says `compiled = true`.

The code takes its inputs as they are: an array of another size than it was compiled for is read out of bounds. (torch
can check each call, with AOTI_RUNTIME_CHECK_INPUTS=1 in the environment; it refuses batches of one row then.) So the
signature is compared at load with what the package says of its inputs, in the source that torch puts into it; of a
package without its source nothing is known. Nor is it known of any whether it writes its inputs."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from pipeline_dsl.plan import StagePlan

from .base import BackendError
from .torch_files import not_a_model

Sizes = list[int | None]
"""Of one input; None for a size that may vary."""

_HINT = "write it with torch._inductor.aoti_compile_and_package"
_INPUT = re.compile(r"auto (\w+) = std::move\(inputs\[(\d+)\]\);")
_DTYPE = re.compile(r"(\w+)_expected_dtype = aoti_torch_dtype_(\w+)\(\);")
_SIZES = re.compile(r"assert_size_stride\((\w+), \{([^}]*)\}, \{[^}]*\}, \"input\"\)")


class Package(NamedTuple):
    """What a package says of itself."""

    device: str
    """The kind it was compiled for: `cpu`, `cuda`."""
    inputs: dict[int, tuple[str, Sizes]]
    """dtype (empty if it does not tell) and sizes by position, of those it tells."""


def compiled_package(package: Package, path: Path, stage: StagePlan, device: str) -> Any:
    """The model in a package, for one caller at a time. BackendError if it was compiled for another kind of device."""
    kind, _, index = device.partition(":")
    if package.device != kind:
        text = f"stage `{stage.name}`: {path} was compiled for {package.device}, the stage runs on {device}"
        other = "cpu" if package.device == "cpu" else "cuda(0)"
        raise BackendError(text, f"compile it on {kind}, or set `device = {other}`")
    from torch._inductor import aoti_load_package

    try:
        return aoti_load_package(str(path), run_single_threaded=True, device_index=int(index) if index else -1)
    except Exception as error:
        raise not_a_model(path, stage, error, f"{_HINT}, of this version of torch") from error


def read_package(path: Path, stage: StagePlan) -> Package:
    """What a package says of itself, without running it. BackendError if it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if "/aotinductor/" in name]
            about = [json.loads(archive.read(name)) for name in names if name.endswith("_metadata.json")]
            sources = [archive.read(name).decode() for name in names if name.endswith(".wrapper.cpp")]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise not_a_model(path, stage, error, _HINT) from error
    devices = {entry.get("AOTI_DEVICE_KEY") for entry in about} - {None}
    if len(devices) != 1:
        text = f"stage `{stage.name}`: {path} is not a package compiled by AOTInductor for one kind of device"
        raise BackendError(text, f"{_HINT}, or leave out `compiled`")
    return Package(str(devices.pop()), _inputs(sources[0]) if len(sources) == 1 else {})


def _inputs(source: str) -> dict[int, tuple[str, Sizes]]:
    """dtype and sizes of inputs by position, as the wrapper's own check of them has them."""
    positions = {name: int(position) for name, position in _INPUT.findall(source)}
    dtypes = dict(_DTYPE.findall(source))
    return {
        positions[name]: (dtypes.get(name, ""), [_size(word) for word in sizes.split(",") if word.strip()])
        for name, sizes in _SIZES.findall(source)
        if name in positions
    }


def _size(word: str) -> int | None:
    digits = word.strip().rstrip("L")
    return int(digits) if digits.isdigit() else None
