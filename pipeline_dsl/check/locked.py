"""A stage against what the lock file says of its artifact, and the signature of a stage that writes none.

The row axis: where all tensors begin with one open size, rows are taken to be independent, as in every model that
was exported for batches. A size that only outputs have is then `?`: nothing says what it depends on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline_dsl import ir
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.errors.locks import BadLockFile, LockDiffers
from pipeline_dsl.locks import SUFFIX, BadLock, Lock, LockedStage, LockedTensor, read_lock
from pipeline_dsl.sizes import Size
from pipeline_dsl.source import Span
from pipeline_dsl.types import Dim, Rows, Sized, TensorType, Unknown

from .outside import reason
from .scope import Scope

Tensors = Mapping[str, ir.TensorName]


def lock_of(scope: Scope, sink: Sink) -> Lock:
    """The lock beside a module's file; an empty one where there is none, or after E0316."""
    path = scope.module.source.path + SUFFIX
    try:
        return read_lock(scope.options.loader.read(path).text)
    except FileNotFoundError:
        return Lock()
    except BadLock as error:
        why = str(error)
    except (OSError, ValueError) as error:
        why = reason(error)
    sink.add(BadLockFile(Span(scope.module.source, 0, 0), path, why).diagnostic())
    return Lock()


# ---- a signature from it


@dataclass(frozen=True, slots=True)
class Unlocked:
    """A signature as it was read, with the tensors whose names no port can have."""

    signature: ir.Signature
    tensors_in: Tensors
    tensors_out: Tensors


@dataclass(slots=True)
class _Sizes:
    """Names of open sizes, while a signature is made."""

    rows: bool
    names: dict[str, str] = field(default_factory=dict)
    """By the artifact's name."""
    count: int = 0

    def dim(self, size: int | str | None, is_input: bool) -> Dim:
        if isinstance(size, int):
            return Sized(Size.of(size))
        if size is not None and size in self.names:
            return Sized(Size.of(self.names[size]))
        if self.rows and not is_input:
            return Unknown()
        name = self._fresh(size)
        if size is not None:
            self.names[size] = name
        return Sized(Size.of(name))

    def _fresh(self, size: str | None) -> str:
        wish = _identifier(size) if size else ""
        if wish and wish not in self.names.values() and wish not in DTYPES:
            return wish
        self.count += 1
        return f"D{self.count}"


def unlocked(stage: LockedStage | None, span: Span) -> Unlocked | None:
    """The signature that an artifact has; None where the lock does not say enough."""
    if stage is None or not stage.inputs or not stage.outputs:
        return None
    every = (*stage.inputs, *stage.outputs)
    if any(t.shape is None or t.dtype not in DTYPES for t in every):
        return None
    first = {t.shape[0] if t.shape else 0 for t in every}
    sizes = _Sizes(rows=len(first) == 1 and not isinstance(next(iter(first)), int))
    inputs, tensors_in = _side(stage.inputs, sizes, span, is_input=True)
    outputs, tensors_out = _side(stage.outputs, sizes, span, is_input=False)
    return Unlocked(ir.Signature(inputs, outputs), tensors_in, tensors_out)


def _side(
    tensors: Sequence[LockedTensor], sizes: _Sizes, span: Span, is_input: bool
) -> tuple[tuple[ir.Port, ...], dict[str, ir.TensorName]]:
    taken: dict[str, str] = {}
    for tensor in tensors:
        base = name = _identifier(tensor.name) or "x"
        number = 1
        while name in taken.values():
            number += 1
            name = f"{base}_{number}"
        taken[tensor.name] = name
    ports = tuple(ir.Port(taken[t.name], _type(t, sizes, is_input), span=span) for t in tensors)
    return ports, {port: ir.TensorName(tensor) for tensor, port in taken.items() if port != tensor}


def _type(tensor: LockedTensor, sizes: _Sizes, is_input: bool) -> TensorType:
    shape = tensor.shape or ()
    rows: tuple[Dim, ...] = (Rows(),) if sizes.rows else ()
    return TensorType(DTYPES[tensor.dtype], (*rows, *(sizes.dim(s, is_input) for s in shape[len(rows) :])))


def _identifier(name: str) -> str:
    found = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{found}" if found[:1].isdigit() else found if found.strip("_") else ""


# ---- a signature against it


def compare(stage: ir.Stage, locked: LockedStage | None, sink: Sink) -> None:
    """E0310 for each port that is not what the artifact has."""
    if locked is None or locked.inputs is None or locked.outputs is None:
        return
    contract, signature = stage.contract, stage.signature
    sides = (
        ("input", signature.inputs, locked.inputs, contract.tensors_in),
        ("output", signature.outputs, locked.outputs, contract.tensors_out),
    )
    for side, ports, tensors, names in sides:
        for port, text in _problems(stage, side, ports, tensors, names):
            span = (port.span if port is not None else None) or stage.span
            assert span is not None, "stages of a file have a place"
            files = ", ".join(locked.artifacts) or "its artifact"
            shown = "; ".join(f"{s}s: {', '.join(map(str, t)) or 'none'}" for s, _, t, _ in sides)
            sink.add(LockDiffers(span, stage.name, text, files, shown).diagnostic())


def _problems(
    stage: ir.Stage, side: str, ports: Sequence[ir.Port], tensors: Sequence[LockedTensor], names: Tensors
) -> Iterator[tuple[ir.Port | None, str]]:
    pairs = _pairs(stage, ports, tensors, names)
    for port in ports:
        if port.name not in pairs:
            wanted = names.get(port.name, ir.TensorName(port.name)).name
            yield port, f"the file has no {side} `{wanted}`"
    matched = {tensor.name for tensor in pairs.values()}
    if side == "input":
        yield from ((None, f"no port for the file's input `{t.name}`") for t in tensors if t.name not in matched)
    for port in ports:
        if port.name in pairs:
            text = _difference(port, pairs[port.name], names.get(port.name), stage)
            if text:
                yield port, text


def _pairs(
    stage: ir.Stage, ports: Sequence[ir.Port], tensors: Sequence[LockedTensor], names: Tensors
) -> dict[str, LockedTensor]:
    """Tensors by port: by name, a single one left over on both sides too; in torch by position."""
    if stage.backend == "torch":
        return {port.name: tensor for port, tensor in zip(ports, tensors, strict=False)}
    known = {t.name: t for t in tensors}
    found = {p.name: known[w] for p in ports if (w := names.get(p.name, ir.TensorName(p.name)).name) in known}
    taken = {t.name for t in found.values()}
    left, over = [p for p in ports if p.name not in found], [t for t in tensors if t.name not in taken]
    if len(left) == len(over) == 1 and left[0].name not in names and not _difference(left[0], over[0], None, stage):
        found[left[0].name] = over[0]
    return found


def _difference(port: ir.Port, tensor: LockedTensor, name: ir.TensorName | None, stage: ir.Stage) -> str:
    dtype = "string" if port.type.dtype.name in ("bytes", "json") else port.type.dtype.name
    if dtype != tensor.dtype:
        return f"`{port.name}` is {port.type.dtype}, the file's `{tensor.name}` is {tensor.dtype}"
    if tensor.shape is None or port.type.has_rest or _is_packed(port, stage):
        return ""
    dims = list(port.type.dims)
    if len(dims) != len(tensor.shape):
        return f"`{port.name}` has {len(dims)} dims, the file's `{tensor.name}` has {len(tensor.shape)}"
    if name is not None and name.permute:
        dims = [dims[axis] for axis in name.permute]
    for axis, (dim, size) in enumerate(zip(dims, tensor.shape, strict=True)):
        if not isinstance(size, int):
            continue
        if isinstance(dim, Rows) and stage.contract.rows != size:
            return f"`{port.name}` has rows (`*`), the file's row axis is fixed at {size}"
        if isinstance(dim, Sized) and dim.size.value not in (None, size):
            return f"dim {axis} of `{port.name}` is {dim.size}, in the file {size}"
    return ""


def _is_packed(port: ir.Port, stage: ir.Stage) -> bool:
    """Rows one after the other: the file's tensor has no row axis."""
    return port.type.is_ragged and any(r.how == "pack" for r in stage.contract.ragged)
