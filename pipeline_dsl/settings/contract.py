"""Keys of a stage itself: its contract, and what each backend's call in `using` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from .base import KeySpec, Kind


def _contract(name: str, kind: Kind, doc: str, **more: Any) -> KeySpec:
    return KeySpec(name, kind, None, "contract", doc, **more)


_EFFECTS = ("none", "repeatable", "once")
_LLM = ("llm",)

CONTRACT: tuple[KeySpec, ...] = (
    _contract("effects", "word", "what running twice would do", words=_EFFECTS),
    _contract("tensors.*", "value", 'name in the artifact: `"x"`, `tensor("x", permute = [0, 2, 1])`'),
    _contract("tensors.in.*", "value", "the same, where an input and an output share a name"),
    _contract("tensors.out.*", "value", "the same, where an input and an output share a name"),
    _contract("ragged.*", "value", "`pad(0, buckets = [..])`, `pack(offsets = port)`, `reject`"),
    _contract("labels.*", "path", "file with the class names of an output"),
    _contract("versions", "ints", "versions that exist"),
    _contract("rows", "int", "rows of the artifact, where they are fixed", minimum=1),
    _contract("sequence.start", "string", "control tensor"),
    _contract("sequence.end", "string", "control tensor"),
    _contract("sequence.ready", "string", "control tensor"),
    _contract("sequence.id", "string", "control tensor"),
    _contract("sequence.idle", "duration", "after which a sequence ends by itself", minimum=1),
    _contract("sequence.slots.strategy", "word", "how slots are given", words=("direct", "oldest")),
    _contract("sequence.slots.max", "int", "sequences of one instance", minimum=1),
    _contract("sequence.slots.delay", "duration", "wait for company"),
    _contract("generation.stop", "value", "texts that end an answer", backends=_LLM),
    _contract("generation.seed", "int", "null: random", words=("null",), backends=_LLM),
    _contract("generation.max_tokens", "int", "length of an answer", minimum=1, backends=_LLM),
)


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """What a backend's call in `using` takes."""

    name: str
    artifact: Kind | None
    """Kind of the first positional argument; None: it takes none."""
    example: str
    effects: Literal["none", "repeatable"]
    """What holds where the contract does not say."""
    arguments: tuple[KeySpec, ...] = ()
    others: str = ""
    """Any other key is handed on as it is: "always", or only beside the argument of this name; "": never."""
    versioned: bool = False
    """`version` and `versions` belong to its artifact."""
    needs_artifact: bool = True
    """Whether the first positional argument must be there."""


def foreign(name: str) -> BackendSpec:
    """A backend that another package brings: what it takes is its own business, and checked when it loads."""
    example = f'{name}("artifact", key = value)'
    return BackendSpec(name, "string", example, "repeatable", others="always", needs_artifact=False)


def _argument(name: str, kind: Kind, doc: str, default: Any = None, **more: Any) -> KeySpec:
    return KeySpec(name, kind, default, "argument", doc, **more)


VERSIONS = (
    _argument("version", "int", "the version the file has"),
    _argument("versions", "ints", "versions that exist; `{version}` in the path stands for one"),
)

_LIBRARIES = ("numpy", "torch")

_SPECS = (
    BackendSpec(
        "python",
        "function",
        'python("pkg.mod:name", key = value)',
        "repeatable",
        (
            _argument("each", "bool", "the function sees one row", False),
            _argument("arrays", "word", "library of array arguments", "numpy", words=_LIBRARIES),
            _argument("capture", "bool", "on a GPU: calls may be written into a graph", False),
        ),
        others="always",
    ),
    BackendSpec("onnx", "path", 'onnx("model.onnx")', "none", VERSIONS, versioned=True),
    BackendSpec(
        "torch",
        "path",
        'torch("model.pt2")',
        "none",
        (
            *VERSIONS,
            _argument("factory", "function", "builds the module that the weights belong to"),
            _argument("compiled", "bool", "the file is a package of AOTInductor, whose code is run", False),
        ),
        others="factory",
        versioned=True,
    ),
    BackendSpec(
        "tensorrt",
        "path",
        'tensorrt("model.plan")',
        "none",
        (
            *VERSIONS,
            _argument("cache", "path", "folder of engines built from `.onnx`; without it, one in the user's cache"),
            _argument("workspace", "size", "memory a layer may use for itself", minimum=1),
            _argument("level", "int", "effort of a build, 0 (fast) to 5 (thorough)"),
            _argument("library", "word", "the module that is imported", "tensorrt", words=("tensorrt", "tensorrt_rtx")),
        ),
        versioned=True,
    ),
    BackendSpec(
        "llm", "string", 'llm("llama-3-8b")', "repeatable", (_argument("revision", "string", "of the weights"),)
    ),
    BackendSpec("triton", "string", 'triton("model")', "repeatable", VERSIONS, versioned=True),
    BackendSpec(
        "remote",
        "string",
        'remote("grpc://host:8001", model = "name")',
        "repeatable",
        (_argument("model", "string", "its name on that server"), *VERSIONS),
        versioned=True,
    ),
    BackendSpec(
        "null",
        None,
        "null(latency = 1ms)",
        "none",
        (
            _argument("latency", "duration", "time a batch takes"),
            _argument("per_row", "duration", "time a row takes besides"),
            _argument("busy", "bool", "the time is spent on the processor", False),
            _argument("fail", "string", '`"load"`, `"all"`, `"every N"`, `"rows V"`, `"batch V"`, `"after N"`'),
            _argument("value", "value", '`"echo"`, `"zeros"`, or a number'),
            _argument("elements", "int", "elements of its stream outputs", 1),
        ),
    ),
)

BACKENDS: Mapping[str, BackendSpec] = MappingProxyType({b.name: b for b in _SPECS})
