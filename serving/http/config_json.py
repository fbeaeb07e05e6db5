"""A protobuf message as JSON data, as clients of the configuration extension read it: every field, by its own name,
64-bit numbers as numbers, enums by name."""

from __future__ import annotations

from typing import Any


def message_json(message: Any) -> dict[str, Any]:
    """All fields of a message; those of a oneof and messages only where they are set."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            found[field.name] = _map(field, value) if _is_map(field) else [_value(field, item) for item in value]
        elif not field.has_presence or message.HasField(field.name):
            found[field.name] = _value(field, value)
    return found


def _is_map(field: Any) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _map(field: Any, value: Any) -> dict[str, Any]:
    of = field.message_type.fields_by_name["value"]
    return {str(key): _value(of, item) for key, item in sorted(value.items())}


def _value(field: Any, value: Any) -> Any:
    if field.message_type is not None:
        return message_json(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    return value.decode("latin-1") if isinstance(value, bytes) else value
