"""Where a stage runs: the `device` setting and the machine -> a device name (`cpu`, `cuda:0`, `cuda:0,1`, `sim:0`).

`any` is the GPU with the least load, of equal ones the one with the fewest instances placed there before; a load is
measured, and counts in steps of a tenth, so that noise does not put all stages on one GPU. Planning never refuses a
device the machine lacks; `check` does, when it is told the machine (E0607).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pipeline_dsl.plan import DeviceOverride, Hardware

CPU = "cpu"
SIM = "sim:0"
ACCELERATED = frozenset({"onnx", "torch", "tensorrt", "llm"})
"""Backends that `device = any` puts on a GPU where there is one."""


def resolve(wanted: Iterable[tuple[str, str, int]], hardware: Hardware, override: DeviceOverride = "") -> Iterator[str]:
    """The device of each stage, given by its setting, its backend and its number of instances.

    With `override = "cuda"`, a stage goes to a GPU if its backend can use one or its profile says one; where the
    machine is not known to have any, that is `cuda:0`."""
    asked = list(wanted)
    names = [_name(setting, backend, hardware, override) for setting, backend, _ in asked]
    placed = Counter[int]()
    for name, (_, _, instances) in zip(names, asked, strict=True):
        numbers = _gpus(name)
        placed.update({number: -(-instances // len(numbers)) for number in numbers})
    for name, (_, _, instances) in zip(names, asked, strict=True):
        if name != _ANY:
            yield name
            continue
        number = _least_loaded(hardware, placed)
        placed[number] += instances
        yield f"cuda:{number}"


_ANY = "any"


def _name(setting: str, backend: str, hardware: Hardware, override: DeviceOverride) -> str:
    """The device's name, or `any` for a GPU that is still to be chosen."""
    if override == "cpu":
        return CPU
    if override == "sim":
        return SIM
    if override == "cuda":
        return _ANY if backend in ACCELERATED or setting.startswith("cuda") else CPU
    if setting == _ANY:
        return _ANY if hardware.gpus and backend in ACCELERATED else CPU
    return setting


def _gpus(name: str) -> list[int]:
    kind, _, numbers = name.partition(":")
    return [int(number) for number in numbers.split(",")] if kind == "cuda" else []


def _least_loaded(hardware: Hardware, placed: Counter[int]) -> int:
    gpus = enumerate(hardware.gpus)
    return min(((round(gpu.load * 10), placed[number], number) for number, gpu in gpus), default=(0, 0, 0))[2]
