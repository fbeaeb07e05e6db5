"""Where a stage runs: the `device` setting and the machine -> a device name (`cpu`, `cuda:0`, `cuda:0,1`).

Planning never refuses a device the machine lacks; `check` does, when it is told the machine (E0607).
"""

from __future__ import annotations

from pipeline_dsl.plan import Hardware

CPU = "cpu"
_ACCELERATED = frozenset({"onnx", "torch", "tensorrt", "llm"})
"""Backends that `device = any` puts on a GPU where there is one."""


def resolve(wanted: str, backend: str, hardware: Hardware) -> str:
    """The device name for a setting: `any` becomes the first GPU where there is one that the backend can use."""
    if wanted != "any":
        return wanted
    return "cuda:0" if hardware.gpus and backend in _ACCELERATED else CPU
