"""Messages and a service for one pipeline, as a file descriptor.

A single value is a field of its kind, one dim is a repeated field, more dims are a `pipectl.common.Tensor`: its shape,
and its items packed little-endian. What may be left out has presence.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodOptions

from pipeline_dsl.dtypes import DType
from pipeline_dsl.plan import InputPlan, OutputPlan, PipelinePlan
from pipeline_dsl.types import TensorType

COMMON = "pipectl/common/tensors.proto"
"""File of the messages that all pipelines share."""
METHOD = "Run"

Form = Literal["single", "repeated", "tensor"]

_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "u8": FieldDescriptorProto.TYPE_UINT32,
    "u16": FieldDescriptorProto.TYPE_UINT32,
    "u32": FieldDescriptorProto.TYPE_UINT32,
    "u64": FieldDescriptorProto.TYPE_UINT64,
    "i8": FieldDescriptorProto.TYPE_INT32,
    "i16": FieldDescriptorProto.TYPE_INT32,
    "i32": FieldDescriptorProto.TYPE_INT32,
    "i64": FieldDescriptorProto.TYPE_INT64,
    "f16": FieldDescriptorProto.TYPE_FLOAT,
    "bf16": FieldDescriptorProto.TYPE_FLOAT,
    "f32": FieldDescriptorProto.TYPE_FLOAT,
    "f64": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "json": FieldDescriptorProto.TYPE_STRING,
}
_TENSORS = {"string": ".pipectl.common.Texts", "json": ".pipectl.common.Texts", "bytes": ".pipectl.common.Blobs"}
_NUMBERS = ".pipectl.common.Tensor"


class Port(NamedTuple):
    """A port as a field."""

    name: str
    type: TensorType
    form: Form
    presence: bool
    """It may be left out, and that shows."""
    doc: str = ""


def form(declared: TensorType, presence: bool) -> Form:
    """How a value travels. A repeated field can not say that it is absent."""
    if not declared.dims:
        return "single"
    if len(declared.dims) == 1 and declared.rank is not None and not presence:
        return "repeated"
    return "tensor"


def input_port(port: InputPlan) -> Port:
    """An input as a field."""
    presence = port.type.optional or port.has_default
    return Port(port.name, port.type, form(port.type, presence), presence, port.doc)


def output_port(port: OutputPlan) -> Port:
    """An output as a field."""
    return Port(port.name, port.type, form(port.type, port.type.optional), port.type.optional, port.doc)


def ports(pipeline: PipelinePlan) -> tuple[list[Port], list[Port]]:
    """Inputs and outputs. A message of a stream holds some of the outputs, so that single ones say whether they are
    there; an empty list in it is none."""
    outputs = [output_port(p) for p in pipeline.outputs]
    if any(p.type.stream for p in pipeline.outputs):
        outputs = [p._replace(presence=True) for p in outputs]
    return [input_port(p) for p in pipeline.inputs], outputs


def camel(name: str) -> str:
    """`ocr_like` as `OcrLike`."""
    made = "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)
    return made if made[:1].isalpha() else f"P{made}"


def package(pipeline: str) -> str:
    """The package of a pipeline's file."""
    return f"pipectl.{pipeline}"


def service_name(pipeline: str) -> str:
    """Full name of the service: `pipectl.ocr_like.OcrLike`."""
    return f"{package(pipeline)}.{camel(pipeline)}"


def request_name(pipeline: str) -> str:
    """Full name of the message that a call takes."""
    return f"{package(pipeline)}.{camel(pipeline)}Request"


def response_name(pipeline: str) -> str:
    """Full name of the message that a call gives."""
    return f"{package(pipeline)}.{camel(pipeline)}Response"


def file_of(pipeline: PipelinePlan, again: bool = False) -> FileDescriptorProto:
    """The descriptor of a pipeline's file. It imports `COMMON` where it has tensors. `again`: a call may run twice,
    which its method says as protobuf has it, for clients that retry."""
    name = camel(pipeline.name)
    groups = ports(pipeline)
    file = FileDescriptorProto(name=f"pipectl/{pipeline.name}.proto", package=package(pipeline.name), syntax="proto3")
    if any(p.form == "tensor" for group in groups for p in group):
        file.dependency.append(COMMON)
    _add_message(file.message_type.add(name=f"{name}Request"), groups[0])
    _add_message(file.message_type.add(name=f"{name}Response"), groups[1])
    service = file.service.add(name=name)
    method = service.method.add(name=METHOD)
    method.input_type, method.output_type = f".{request_name(pipeline.name)}", f".{response_name(pipeline.name)}"
    if any(p.type.stream for p in pipeline.outputs):
        method.server_streaming = True
    if again:
        method.options.idempotency_level = MethodOptions.IDEMPOTENT
    return file


def _add_message(message: DescriptorProto, ports: Iterable[Port]) -> None:
    synthetic = []
    for number, port in enumerate(ports, start=1):
        field = message.field.add(name=port.name, number=number)
        field.label = FieldDescriptorProto.LABEL_REPEATED if port.form == "repeated" else field.LABEL_OPTIONAL
        if port.form == "tensor":
            field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, tensor_type(port.type.dtype)
        else:
            field.type = _SCALARS[port.type.dtype.name]
        if port.form == "single" and port.presence:
            synthetic.append(field)
    for field in synthetic:  # how `optional` is written in a descriptor
        field.proto3_optional = True
        field.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{field.name}")


def tensor_type(dtype: DType) -> str:
    """The message for more than one dim."""
    return _TENSORS.get(dtype.name, _NUMBERS)


def common() -> FileDescriptorProto:
    """The file of the shared messages."""
    file = FileDescriptorProto(name=COMMON, package="pipectl.common", syntax="proto3")
    for name, items, kind, repeated in (
        ("Tensor", "data", FieldDescriptorProto.TYPE_BYTES, False),
        ("Texts", "items", FieldDescriptorProto.TYPE_STRING, True),
        ("Blobs", "items", FieldDescriptorProto.TYPE_BYTES, True),
    ):
        message = file.message_type.add(name=name)
        many, one = FieldDescriptorProto.LABEL_REPEATED, FieldDescriptorProto.LABEL_OPTIONAL
        message.field.add(name="shape", number=1, label=many, type=FieldDescriptorProto.TYPE_INT64)
        message.field.add(name=items, number=2, label=many if repeated else one, type=kind)
        message.field.add(name="lengths", number=3, label=many, type=FieldDescriptorProto.TYPE_INT64)
    return file
