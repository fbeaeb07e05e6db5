"""The difference between two configurations as data, and laying it over one of them.

    difference(made, wanted) -> overlay        applied(made, overlay) == wanted

Both are the JSON form of a message with its own field names and whole numbers as numbers. In an overlay, null takes a
field away, a mapping goes into a field, anything else replaces it. Inputs and outputs go by name, so that a remark
on one tensor does not repeat all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from serving.protocol import message, pool

Data = dict[str, Any]

_BY_NAME = ("input", "output")
_WHOLE = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def data_of(config: Any) -> Data:
    """A message as data. JSON writes 64-bit numbers as strings; here they are numbers."""
    plain = json_format.MessageToDict(config, preserving_proto_field_name=True, descriptor_pool=pool())
    made: Data = _numbered(plain, config.DESCRIPTOR)
    for field in _BY_NAME:
        named = {item.get("name", ""): {k: v for k, v in item.items() if k != "name"} for item in made.get(field, ())}
        if field in made and len(named) == len(made[field]):
            made[field] = named
    return made


def config_of(data: Data) -> Any:
    """The message of some data. ParseError where a field or value is not Triton's."""
    plain = dict(data)
    for field in _BY_NAME:
        if isinstance(plain.get(field), Mapping):
            plain[field] = [{"name": name, **rest} for name, rest in plain[field].items()]
    return json_format.ParseDict(plain, message("inference.ModelConfig")(), descriptor_pool=pool())


def canonical(data: Data) -> Data:
    """The same as a message says it: without what is a default anyway."""
    return data_of(config_of(data))


def difference(made: Data, wanted: Data) -> Data:
    """What has to be laid over `made` to get `wanted`."""
    found: Data = {}
    for key in dict.fromkeys((*wanted, *made)):
        if key not in wanted:
            found[key] = None
        elif key not in made:
            found[key] = wanted[key]
        elif isinstance(made[key], dict) and isinstance(wanted[key], dict):
            inner = _named_difference(made[key], wanted[key]) if key in _BY_NAME else None
            inner = difference(made[key], wanted[key]) if inner is None else inner
            if inner:
                found[key] = inner
        elif made[key] != wanted[key]:
            found[key] = wanted[key]
    return found


def applied(made: Data, overlay: Mapping[str, Any]) -> Data:
    """`made` with an overlay on it."""
    result = dict(made)
    for key, value in overlay.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            inner = result.get(key)
            result[key] = applied(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result


def _named_difference(made: Data, wanted: Data) -> Any:
    """Tensors in another order, or other tensors: the whole list."""
    if list(made) == list(wanted):
        return None
    return [{"name": name, **rest} for name, rest in wanted.items()]


def _numbered(value: Any, descriptor: Any) -> Any:
    """Strings of 64-bit fields as numbers, all the way down."""
    fields = descriptor.fields_by_name
    return {key: _number(item, fields[key]) for key, item in value.items()}


def _number(value: Any, field: Any) -> Any:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        values = inner.fields_by_name["value"]
        return {k: _number(v, values) for k, v in sorted(value.items())}  # protobuf's own order changes by process
    if isinstance(value, list):
        return [_number(item, field) for item in value]
    if inner is not None:
        return _numbered(value, inner)
    return int(value) if field.cpp_type in _WHOLE and isinstance(value, str) else value
