"""pipectl: pipelines of models, checked like a program and run in batches.

    with pipectl.load("embed.pipe") as app:
        answer = app["embed"](text=["a cat", "a dog"])

Names are loaded when first used, so that `import pipectl` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import VERSION as __version__

if TYPE_CHECKING:
    from backends.values import InvalidInput, Ragged
    from executor.errors import LoadError, RequestError
    from executor.sequence import SequenceInfo
    from executor.streaming.output import NotYet
    from pipeline_dsl.builder import *  # noqa: F403 - every name of the builder, for editors and type checkers
    from pipeline_dsl.diagnostics import CompileError
    from pipeline_dsl.plan import Gpu, Hardware, Plan
    from serving.client.aio import aconnect
    from serving.client.errors import ClientError
    from serving.client.retry import Retry
    from serving.client.sync import connect

    from .app import App, compile, load  # noqa: A004 - pipectl.compile is the public name

_HOMES = {
    "backends.values": ("InvalidInput", "Ragged"),
    "executor.errors": ("LoadError", "RequestError"),
    "executor.sequence": ("SequenceInfo",),
    "executor.streaming.output": ("NotYet",),
    "pipectl.app": ("App", "compile", "load"),
    "serving.client.aio": ("aconnect",),
    "serving.client.errors": ("ClientError",),
    "serving.client.retry": ("Retry",),
    "serving.client.sync": ("connect",),
    "pipeline_dsl.builder": (
        "Arm",
        "Backend",
        "Control",
        "GB",
        "GiB",
        "KB",
        "KiB",
        "MB",
        "MiB",
        "Module",
        "Node",
        "Pipeline",
        "Port",
        "Profile",
        "Scope",
        "Signature",
        "Stage",
        "Type",
        "Value",
        "and_",
        "arm",
        "backend",
        "cast",
        "coalesce",
        "collect",
        "concat",
        "const",
        "correlation_id",
        "cpu",
        "cuda",
        "empty",
        "env",
        "format",
        "from_import",
        "header",
        "hours",
        "if_",
        "import_",
        "join",
        "json_get",
        "len",
        "lines",
        "llm",
        "map_",
        "match_",
        "member",
        "minutes",
        "module",
        "ms",
        "not_",
        "null",
        "ones",
        "onnx",
        "opt",
        "or_",
        "pack",
        "pad",
        "param",
        "parse",
        "percent",
        "pipeline",
        "port",
        "present",
        "profile",
        "python",
        "reject",
        "remote",
        "request_id",
        "reshape",
        "route_",
        "seconds",
        "select",
        "sequence_end",
        "sequence_start",
        "shadow",
        "sig",
        "sim",
        "stack",
        "stage",
        "state",
        "stream",
        "stream_of",
        "tensor",
        "tensorrt",
        "torch",
        "triton",
        "try_",
        "type_alias",
        "us",
        "word",
        "zeros",
    ),
    "pipeline_dsl.diagnostics": ("CompileError",),
    "pipeline_dsl.plan": ("Gpu", "Hardware", "Plan"),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "App",
    "ClientError",
    "CompileError",
    "Gpu",
    "Hardware",
    "InvalidInput",
    "LoadError",
    "NotYet",
    "Plan",
    "Ragged",
    "RequestError",
    "Retry",
    "SequenceInfo",
    "__version__",
    "aconnect",
    "compile",
    "connect",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "types":
        return import_module("pipectl.types")
    home = _LAZY.get(name)
    if home is None:
        raise AttributeError(f"module `pipectl` has no attribute `{name}`")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
