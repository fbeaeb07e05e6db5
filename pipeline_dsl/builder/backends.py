"""What a stage runs on: `onnx("model.onnx")`, `python("pkg.mod:name", key=value)`, and the others.

Each gives the call behind `using`. Paths are relative to the file that calls `module`, as those of a `.pipe` file
are to it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.errors.builder import LocalCallable
from pipeline_dsl.settings import BACKENDS

from .declared import Uses, merged
from .parts import Part, bare, part
from .places import Place, caller
from .settings import setting_part


@dataclass(frozen=True, slots=True)
class Backend:
    """The call behind `using`."""

    tree: syntax.Call
    uses: Uses = ()
    unfit: tuple[Diagnostic, ...] = ()


def onnx(path: Any, **arguments: Any) -> Backend:
    """An ONNX file: `pp.onnx("model.onnx", versions=[3, 4])`."""
    return _backend("onnx", (path,), arguments)


def torch(path: Any, **arguments: Any) -> Backend:
    """A torch file (`.pt2`, TorchScript, weights with a factory): `pp.torch("model.pt2")`."""
    return _backend("torch", (path,), arguments)


def tensorrt(path: Any, **arguments: Any) -> Backend:
    """A TensorRT plan: `pp.tensorrt("model.plan")`."""
    return _backend("tensorrt", (path,), arguments)


def llm(model: Any, **arguments: Any) -> Backend:
    """A language model: `pp.llm("llama-3-8b")`."""
    return _backend("llm", (model,), arguments)


def triton(model: Any, **arguments: Any) -> Backend:
    """A model of a Triton repository: `pp.triton("resnet")`."""
    return _backend("triton", (model,), arguments)


def remote(address: Any, **arguments: Any) -> Backend:
    """A model on another server: `pp.remote("grpc://host:8001", model="resnet")`."""
    return _backend("remote", (address,), arguments)


def null(**arguments: Any) -> Backend:
    """A stage that only takes time: `pp.null(latency=pp.ms(1))`."""
    return _backend("null", (), arguments)


def python(function: Any, **arguments: Any) -> Backend:
    """A Python function or class: `pp.python("pkg.mod:name", key=value)`, or the function itself.

    A function given itself has to be importable: `to_text` and `load` refuse lambdas and closures (E0904)."""
    if isinstance(function, str) or not callable(function):
        return _backend("python", (function,), arguments)
    spelled, reason = _importable(function)
    made = _backend("python", (spelled,), arguments)
    if not reason:
        return made
    mistake = LocalCallable(caller().span, getattr(function, "__qualname__", repr(function)), reason)
    return Backend(made.tree, made.uses, (mistake.diagnostic(),))


def backend(name: str, /, *args: Any, **arguments: Any) -> Backend:
    """Any backend by its name: `pp.backend("onnx", "model.onnx")`."""
    return _backend(name, args, arguments, skip=1)


def _backend(name: str, args: Sequence[Any], named: Mapping[str, Any], skip: int = 0) -> Backend:
    """The call; `skip`: positional arguments of the caller's call that are not its own."""
    place = caller()
    parts = [part(value, place.argument(skip + i)) for i, value in enumerate(args)]
    given = [syntax.Argument(None, made.expr, span=made.span) for made in parts]
    for key, value in named.items():
        span, where = place.entry(key)
        parts.append(_argument(name, key, value, where))
        given.append(syntax.Argument(syntax.Ident(key, span=span), parts[-1].expr, span=span))
    tree = syntax.Call(bare(name, place.span), tuple(given), span=place.span)
    return Backend(tree, merged(made.uses for made in parts))


def _argument(name: str, key: str, value: Any, place: Place) -> Part:
    known = BACKENDS.get(name)
    spec = next((s for s in known.arguments if s.name == key), None) if known else None
    return setting_part(value, spec, place)


def _importable(function: Callable[..., Any]) -> tuple[str, str]:
    """`module:name` of a function or class, and why it can not be found there; "" if it can."""
    name = getattr(function, "__qualname__", "")
    module = _module_name(getattr(function, "__module__", None))
    spelled = f"{module or '<python>'}:{name}"
    if "<lambda>" in name:
        return spelled, "it is a lambda"
    if "<locals>" in name:
        return spelled, "it is defined inside of a function"
    if not name or "." in name:
        return spelled, "it is no function or class at the top level of a module"
    if not module:
        return spelled, "its module has no file"
    return spelled, ""


def _module_name(name: str | None) -> str:
    """The name to import a module by: a script goes by its file's name."""
    if name != "__main__":
        return name or ""
    path = getattr(sys.modules["__main__"], "__file__", None)
    return Path(path).stem if path else ""
