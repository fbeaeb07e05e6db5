"""The compiler: `.pipe` text or the Python builder -> checked program -> plan. Pure; opens no models.

    plan = pipeline_dsl.compile_path("embed.pipe", pipeline_dsl.Options(profile="gpu"))

Names are loaded when they are first used. Users of pipectl import from `pipectl`; this package is for tools.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .shadow import assert_ours

if TYPE_CHECKING:
    from .check import Options
    from .compile import (
        check_module,
        check_path,
        check_text,
        compile_module,
        compile_path,
        compile_text,
    )
    from .diagnostics import CompileError, Diagnostic, Severity, Sink
    from .plan import Gpu, Hardware, Plan
    from .source import Source, Span

_HOME = {
    "CompileError": "diagnostics",
    "Diagnostic": "diagnostics",
    "Gpu": "plan",
    "Hardware": "plan",
    "Options": "check",
    "Plan": "plan",
    "Severity": "diagnostics",
    "Sink": "diagnostics",
    "Source": "source",
    "Span": "source",
    "check_module": "compile",
    "check_path": "compile",
    "check_text": "compile",
    "compile_module": "compile",
    "compile_path": "compile",
    "compile_text": "compile",
}
"""Module of each public name."""

__all__ = [
    "CompileError",
    "Diagnostic",
    "Gpu",
    "Hardware",
    "Options",
    "Plan",
    "Severity",
    "Sink",
    "Source",
    "Span",
    "check_module",
    "check_path",
    "check_text",
    "compile_module",
    "compile_path",
    "compile_text",
]

assert_ours(Path(__file__).parent.parent)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
