"""A pipeline's service as a `.proto` file that any protobuf compiler takes, self-contained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from pipeline_dsl.plan import PipelinePlan

from .schema import METHOD, Port, camel, file_of, ports

_KINDS = {
    getattr(FieldDescriptorProto, f"TYPE_{name.upper()}"): name
    for name in ("bool", "uint32", "uint64", "int32", "int64", "float", "double", "string", "bytes")
}

COMMON_TEXT = """syntax = "proto3";

package pipectl.common;

// Numbers with more than one dim, or that may be absent.
message Tensor {
  repeated int64 shape = 1;
  bytes data = 2;  // items one after the other, little-endian, the last dim running fastest
  repeated int64 lengths = 3;  // where rows are of unequal length: of each row, padded to the longest
}

// Texts with more than one dim; JSON values are written as texts.
message Texts {
  repeated int64 shape = 1;
  repeated string items = 2;
  repeated int64 lengths = 3;
}

message Blobs {
  repeated int64 shape = 1;
  repeated bytes items = 2;
  repeated int64 lengths = 3;
}
"""
"""The file `COMMON`, with what all pipelines share."""


def proto_text(pipeline: PipelinePlan, again: bool = False) -> str:
    """The file of one pipeline. `again`: as `file_of` has it."""
    return "\n".join(_lines(pipeline, file_of(pipeline, again))) + "\n"


def _lines(pipeline: PipelinePlan, file: FileDescriptorProto) -> Iterator[str]:
    name = camel(pipeline.name)
    yield 'syntax = "proto3";'
    yield ""
    yield f"package {file.package};"
    for imported in file.dependency:
        yield ""
        yield f'import "{imported}";'
    yield ""
    yield from _comment(pipeline.doc, "")
    stream = "stream " if file.service[0].method[0].server_streaming else ""
    yield f"service {name} {{"
    rpc = f"  rpc {METHOD}({name}Request) returns ({stream}{name}Response)"
    if file.service[0].method[0].options.idempotency_level:
        yield f"{rpc} {{"
        yield "    option idempotency_level = IDEMPOTENT;"
        yield "  }"
    else:
        yield f"{rpc};"
    yield "}"
    for message, group in zip(file.message_type, ports(pipeline)):
        yield ""
        yield from _message(message, group)


def _message(message: DescriptorProto, group: Iterable[Port]) -> Iterator[str]:
    yield f"message {message.name} {{"
    for field, port in zip(message.field, group):
        yield from _comment(port.doc, "  ")
        yield f"  {_label(field)}{_kind(field)} {field.name} = {field.number};  // {port.type}"
    yield "}"


def _label(field: FieldDescriptorProto) -> str:
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated "
    return "optional " if field.proto3_optional else ""


def _kind(field: FieldDescriptorProto) -> str:
    return field.type_name or _KINDS[field.type]


def _comment(doc: str, indent: str) -> Iterator[str]:
    for line in doc.splitlines():
        yield f"{indent}// {line}".rstrip()
