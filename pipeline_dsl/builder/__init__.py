"""Pipelines written in Python: the same trees as `.pipe` text, checked by the same checker.

    import pipectl as pp
    from pipectl.types import f32, i64

    small = pp.stage("small", pp.sig(image=f32["*", 8]).to(label=i64["*"]), pp.onnx("small.onnx"))

    @pp.pipeline(out=dict(label=i64["*"]))
    def classify(p, image: f32["*", 8]):
        return dict(label=small(image))

    m = pp.module(classify)
    print(m.to_text())

The function runs once, on symbolic values (`values`), in a body (`frames`, `scopes`); handles carry declarations
(`declared`), from which `module` makes a tree. Mistakes point at the Python line that made them (`places`).
"""

from __future__ import annotations

from typing import Any

from . import types
from .backends import Backend, backend, llm, null, onnx, python, remote, tensorrt, torch, triton
from .control import Arm, arm, if_, map_, match_, route_, shadow, try_
from .functions import (
    and_,
    cast,
    coalesce,
    collect,
    concat,
    correlation_id,
    cpu,
    cuda,
    empty,
    env,
    header,
    join,
    json_get,
    lines,
    not_,
    ones,
    or_,
    pack,
    pad,
    present,
    reject,
    request_id,
    reshape,
    select,
    sequence_end,
    sequence_start,
    sim,
    stack,
    stream_of,
    tensor,
    word,
    zeros,
)
from .functions import format_ as format  # noqa: A004 - `pp.format` is the public name
from .functions import len_ as len  # noqa: A004 - `pp.len` is the public name
from .modules import Module, module, parse
from .names import const, from_import, import_, param, type_alias
from .pipelines import Node, Pipeline, pipeline
from .profiles import Profile, profile
from .scopes import Control, Scope
from .settings import state
from .signatures import Port, Signature, port, sig
from .stages import Stage, stage
from .types import Type, opt, stream
from .units import GB, KB, MB, GiB, KiB, MiB, hours, minutes, ms, percent, seconds, us
from .values import Value, member

__all__ = [
    "GB",
    "KB",
    "MB",
    "Arm",
    "Backend",
    "Control",
    "GiB",
    "KiB",
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
]


def __getattr__(name: str) -> Any:
    """Dtypes: `builder.f32`."""
    return getattr(types, name)
