"""Answers as a .parquet file: one row for each request, a row group at a time.

Columns: `index`, `id`, one for each output (nested lists for arrays), `error` (null where answered).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_dsl.plan import OutputPlan
from pipeline_dsl.types import TensorType

from .answer import Answer
from .encode import to_json, to_line

GROUP = 1024
"""Requests in a row group."""

_ARROW = {
    "bool": pa.bool_(),
    "u8": pa.uint8(),
    "u16": pa.uint16(),
    "u32": pa.uint32(),
    "u64": pa.uint64(),
    "i8": pa.int8(),
    "i16": pa.int16(),
    "i32": pa.int32(),
    "i64": pa.int64(),
    "f16": pa.float32(),
    "bf16": pa.float32(),
    "f32": pa.float32(),
    "f64": pa.float64(),
    "string": pa.string(),
    "bytes": pa.binary(),
    "json": pa.string(),
}
"""Half precision is widened: few readers know it, and none knows bf16."""


class Parquet:
    """Writer of a .parquet file."""

    def __init__(self, path: Path, outputs: Sequence[OutputPlan]) -> None:
        self._types = {port.name: port.type for port in outputs}
        fields = [pa.field(name, _arrow(type_)) for name, type_ in self._types.items()]
        head = [pa.field("index", pa.int64()), pa.field("id", pa.string())]
        self._schema = pa.schema([*head, *fields, pa.field("error", pa.string())])
        self._file = pq.ParquetWriter(path, self._schema)
        self._rows: list[dict[str, Any]] = []

    def write(self, answer: Answer) -> None:
        row: dict[str, Any] = {"index": answer.index, "id": answer.id, "error": None}
        if answer.failure:
            row["error"] = str(answer.failure)
        for name, value in (answer.outputs or {}).items():
            row[name] = _plain(value, self._types[name])
        self._rows.append(row)
        if len(self._rows) >= GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, self._schema))
            self._rows = []


def _arrow(type_: TensorType) -> pa.DataType:
    found = _ARROW[type_.dtype.name]
    for _ in type_.dims:
        found = pa.list_(found)
    return found


def _plain(value: Any, type_: TensorType) -> Any:
    if type_.dtype.name == "json":
        return _leaves(to_json(value), len(type_.dims), to_line)
    if type_.dtype.name == "bytes":
        return _leaves(value.tolist() if hasattr(value, "tolist") else value, len(type_.dims), bytes)
    return to_json(value)


def _leaves(value: Any, depth: int, convert: Any) -> Any:
    """`convert` of each item `depth` lists down."""
    if value is None:
        return None
    return [_leaves(item, depth - 1, convert) for item in value] if depth else convert(value)
