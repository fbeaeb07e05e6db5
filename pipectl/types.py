"""Types for built pipelines: `f32["*", "~L", 384]`, `opt(string)`, `stream(string)`.

Every dtype of the language by its name, those of params (`percent`, `duration`, `size`) too, and the two makers; they
live in `pipeline_dsl.builder.types`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline_dsl.dtypes import DTYPES

__all__ = sorted([*DTYPES, "opt", "stream"])


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module `pipectl.types` has no attribute `{name}`")
    return getattr(import_module("pipeline_dsl.builder.types"), name)
