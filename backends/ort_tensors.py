"""Ports of a stage against the tensors of an ONNX file: names, dtypes, shapes (diagnostic E0310).

Takes what the session says about the file, gives one `Slot` per port. A port stands for the tensor of its
name, or the one named in `tensors { }`; one port and one tensor that are left over on a side match if dtype
and rank are equal. Everything else is a `BackendError` that shows both sides in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl.dtypes import DTYPES as known
from pipeline_dsl.ir import TensorName
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.types import Ragged, Rows, Sized

from .artifact import disagreement
from .states import CONTROLS

DTYPES = {
    "tensor(bool)": "bool",
    "tensor(uint8)": "u8",
    "tensor(uint16)": "u16",
    "tensor(uint32)": "u32",
    "tensor(uint64)": "u64",
    "tensor(int8)": "i8",
    "tensor(int16)": "i16",
    "tensor(int32)": "i32",
    "tensor(int64)": "i64",
    "tensor(float16)": "f16",
    "tensor(bfloat16)": "bf16",
    "tensor(float)": "f32",
    "tensor(double)": "f64",
    "tensor(string)": "string",
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the file declares it; a size is a number, a name, or None."""

    name: str
    kind: str
    """`tensor(float)`, `seq(map(int64,tensor(float)))`."""
    shape: tuple[int | str | None, ...]
    """Empty for rank 0, and where the file does not say."""

    @property
    def dtype(self) -> str:
        return DTYPES.get(self.kind, self.kind)

    def __str__(self) -> str:
        sizes = ", ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name}: {self.dtype}" + (f"[{sizes}]" if self.shape else "")


@dataclass(frozen=True, slots=True)
class Slot:
    """A port and its tensor. `permute`: axis i of the tensor is axis `permute[i]` of the port."""

    port: PortPlan
    tensor: Tensor
    permute: tuple[int, ...] = ()


def tensor_of(arg: Any) -> Tensor:
    """A `Tensor` from a session's NodeArg."""
    return Tensor(arg.name, arg.type, tuple(arg.shape or ()))


def match(
    stage: StagePlan, path: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[list[Slot], list[Slot]]:
    """Slots of inputs and outputs in port order. BackendError if the file is not what the signature says."""
    found_in, problems = _side("input", stage.inputs, inputs, stage.contract.tensors_in)
    found_out, more = _side("output", stage.outputs, outputs, stage.contract.tensors_out)
    problems += more
    taken = {slot.tensor.name for slot in found_in}
    problems += [f"no port for the file's input `{t.name}`" for t in inputs if t.name not in taken]
    if not problems:
        for slot in found_in:
            problems += _differences(slot, stage, is_input=True)
        for slot in found_out:
            problems += _differences(slot, stage, is_input=False)
    if problems:
        raise disagreement(stage, _message(stage, path, inputs, outputs, problems), _hint(problems))
    return found_in, found_out


def _side(
    side: str, ports: Sequence[PortPlan], tensors: Sequence[Tensor], named: Mapping[str, TensorName]
) -> tuple[list[Slot], list[str]]:
    by_name = {t.name: t for t in tensors}
    found: dict[str, Slot] = {}
    for port in ports:
        given = named.get(port.name, TensorName(port.name))
        if given.name in by_name:
            found[port.name] = Slot(port, by_name[given.name], given.permute)
    taken = {slot.tensor.name for slot in found.values()}
    left_ports = [p for p in ports if p.name not in found]
    left_tensors = [t for t in tensors if t.name not in taken]
    if len(left_ports) == 1 and len(left_tensors) == 1 and left_ports[0].name not in named:
        port, tensor = left_ports[0], left_tensors[0]
        if _same_dtype(port, tensor) and len(_dims(port)) == len(tensor.shape):
            found[port.name] = Slot(port, tensor)
            left_ports = []
    problems = [_missing(side, port, named) for port in left_ports]
    return [found[p.name] for p in ports if p.name in found], problems


def _missing(side: str, port: PortPlan, named: Mapping[str, TensorName]) -> str:
    if port.name in named:
        return f"the file has no {side} `{named[port.name].name}`, named in `tensors` for `{port.name}`"
    return f"the file has no {side} `{port.name}`"


def _differences(slot: Slot, stage: StagePlan, is_input: bool) -> list[str]:
    port, tensor = slot.port, slot.tensor
    if port.filled in CONTROLS:
        return _control(port, tensor)
    if not _same_dtype(port, tensor):
        return [f"`{port.name}` is {port.type.dtype.name}, the file's `{tensor.name}` is {tensor.dtype}"]
    dims = _dims(port)
    if not tensor.shape or port.type.has_rest:
        return []
    if len(dims) != len(tensor.shape):
        return [f"`{port.name}` has {len(dims)} dims, the file's `{tensor.name}` has {len(tensor.shape)}"]
    if slot.permute:
        if sorted(slot.permute) != list(range(len(dims))):
            return [f"permute {list(slot.permute)} of `{port.name}` is no order of its {len(dims)} dims"]
        dims = [dims[axis] for axis in slot.permute]
    return [
        problem
        for axis, (dim, size) in enumerate(zip(dims, tensor.shape))
        if (problem := _difference(port, dim, axis, size, stage, is_input))
    ]


def _control(port: PortPlan, tensor: Tensor) -> list[str]:
    """What a sequence is told comes in the dtype that the file wants: one value a row, with dims of 1 or without."""
    kinds = ("int", "uint", "string") if port.filled == "id" else ("bool", "int", "uint", "float")
    dtype = known.get(tensor.dtype)
    if dtype is None or ("string" if dtype.name == "string" else dtype.kind) not in kinds:
        return [
            f"`{port.name}` is told the `{port.filled}` of a sequence, the file's `{tensor.name}` is {tensor.dtype}"
        ]
    more = tensor.shape[1:] if port.type.has_rows else tensor.shape
    if any(size != 1 for size in more):
        return [f"`{port.name}` is one value a row, the file's is {tensor}"]
    return []


def _difference(port: PortPlan, dim: Any, axis: int, size: int | str | None, stage: StagePlan, is_input: bool) -> str:
    fixed = stage.contract.rows
    if not isinstance(size, int):
        return ""
    if isinstance(dim, Rows):
        if fixed == size:
            return ""
        if fixed is not None:
            return f"`rows = {fixed}`, but the file's row axis of `{port.name}` is {size}"
        return f"`{port.name}` has rows (`*`), the file's row axis is fixed at {size}"
    if isinstance(dim, Sized) and dim.size.value is not None:
        return "" if dim.size.value == size else f"dim {axis} of `{port.name}` is {dim.size}, in the file {size}"
    if is_input and isinstance(dim, Sized | Ragged) and port.form != "packed" and port.buckets != (size,):
        return f"dim {axis} of `{port.name}` is any `{dim}`, the file takes only {size}"
    return ""


def _dims(port: PortPlan) -> list[Any]:
    """The dims of the array an instance gets: packed rows have lost their row axis."""
    dims = list(port.type.dims)
    return dims[1:] if port.form == "packed" else dims


def _same_dtype(port: PortPlan, tensor: Tensor) -> bool:
    name = port.type.dtype.name
    return tensor.dtype == ("string" if name in ("bytes", "json") else name)


def _message(
    stage: StagePlan, path: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], problems: list[str]
) -> str:
    def listed(items: Sequence[Any]) -> str:
        return ", ".join(map(str, items)) or "none"

    def ports(items: Sequence[PortPlan]) -> str:
        return listed([f"{p.name}: {p.type}" for p in items])

    return "\n".join(
        [
            f"the signature and {path} disagree: {'; '.join(problems)}",
            f"  signature: ({ports(stage.inputs)}) -> ({ports(stage.outputs)})",
            f"  file:      ({listed(inputs)}) -> ({listed(outputs)})",
        ]
    )


def _hint(problems: list[str]) -> str:
    text = " ".join(problems)
    if "row axis is fixed at" in text:
        size = text.partition("row axis is fixed at ")[2].partition(" ")[0].rstrip(";")
        return f"add `rows = {size}` to the stage's settings, or export the model with a dynamic first axis"
    if "the file has no" in text or "no port for" in text:
        return 'name the file\'s tensors: tensors { port = "name in the file" }'
    return "change the signature, or export the model again"
