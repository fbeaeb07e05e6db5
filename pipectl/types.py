"""Types for built pipelines: `f32["*", "~L", 384]`, `opt(string)`, `stream(string)`.

Every dtype of the language by its name, and the two makers; they live in `pipeline_dsl.builder`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline_dsl.dtypes import DTYPES

__all__ = sorted([*(name for name, dtype in DTYPES.items() if dtype.kind != "setting"), "opt", "stream"])


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `pipectl.types` has no attribute `{name}`")
    return getattr(import_module("pipeline_dsl.builder"), name)
