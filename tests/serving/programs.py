"""Programs of the null backend, which gives back what it gets, and the operations of a server that runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import backends
from pipeline_dsl.check import Options
from pipeline_dsl.compile import compile_path
from pipeline_dsl.plan import Hardware, Plan
from serving.access import Access
from serving.deployment import Source
from serving.operations import Operations, operations
from serving.options import ServerOptions
from serving.repository import Repository
from serving.telemetry import Telemetry

PIPE = """pipe 1

stage same_rows(x: f32[*, 4]) -> (x: f32[*, 4]) using null()
stage same_rows_again(x: f32[*, 4]) -> (x: f32[*, 4]) using null()
stage same_texts(text: string[*]) -> (text: string[*]) using null()
stage same_single(n: i64, s: string, b: bool, j: json, p: f64) -> (n: i64, s: string, b: bool, j: json, p: f64)
  using null()
stage same_ragged(ids: i64[*, ~L]) -> (ids: i64[*, ~L]) using null() {
  ragged { L = pad(0) }
}
stage same_halves(a: f16[*, 2], b: bf16[*, 2]) -> (a: f16[*, 2], b: bf16[*, 2]) using null()
stage same_bytes(data: bytes[N]) -> (data: bytes[N]) using null()
stage same_small(a: i8[N], b: u16[N], c: bool[N]) -> (a: i8[N], b: u16[N], c: bool[N]) using null()
stage broken(x: f32[*, 4]) -> (x: f32[*, 4]) using null(fail = "rows 13")

## Rows of four numbers, through two stages.
pipeline rows(x: f32[*, 4]) -> (y: f32[*, 4], z: f32[*, 4]) {
  y = same_rows(x)
  return y, z = same_rows_again(y)
}

pipeline texts(text: string[*]) -> (text: string[*]) {
  return text = same_texts(text)
}

pipeline single(n: i64, s: string = "none", b: bool = true, j: json = "{}", p: f64 = 0.5)
    -> (n: i64, s: string, b: bool, j: json, p: f64) {
  r = same_single(n, s, b, j, p)
  return n = r.n, s = r.s, b = r.b, j = r.j, p = r.p
}

pipeline ragged(ids: i64[*, ~L]) -> (ids: i64[*, ~L]) {
  return ids = same_ragged(ids)
}

pipeline halves(a: f16[*, 2], b: bf16[*, 2]) -> (a: f16[*, 2], b: bf16[*, 2]) {
  r = same_halves(a, b)
  return a = r.a, b = r.b
}

pipeline blobs(data: bytes[N]) -> (data: bytes[N]) {
  return data = same_bytes(data)
}

pipeline small(a: i8[N], b: u16[N], c: bool[N]) -> (a: i8[N], b: u16[N], c: bool[N]) {
  r = same_small(a, b, c)
  return a = r.a, b = r.b, c = r.c
}

pipeline fails(x: f32[*, 4]) -> (x: f32[*, 4]) {
  return x = broken(x)
}
"""


def compiled(source: Source) -> Plan:
    """As the command compiles a source, for two cores."""
    options = Options(source.profile, dict(source.params), backends=backends.names)
    return compile_path(source.path, options, Hardware(cores=2))


@asynccontextmanager
async def running(
    path: Path,
    options: ServerOptions | None = None,
    access: Access | None = None,
    telemetry: Telemetry | None = None,
    **more: Any,
) -> AsyncIterator[Operations]:
    """Operations on a repository of one file."""
    repository = Repository([Source(path, **more)], compiled)
    made = operations(repository, options or ServerOptions(), access, telemetry)
    try:
        await repository.start()
        yield made
    finally:
        await made.close()
