"""Requests that must fail, each with the code it must fail with and words its message must hold.

What every protocol can carry is here; `tests/serving/test_grpc_attacks.py` and its like send them.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from serving.tensors import InferCall, Parameter, TensorIn, Wanted

ROW = np.arange(4, dtype=np.float32).tobytes()


class Attack(NamedTuple):
    name: str
    call: InferCall
    code: str
    words: tuple[str, ...]


def x(shape: Any = (1, 4), data: Any = ROW, datatype: str = "FP32", **parameters: Parameter) -> TensorIn:
    return TensorIn("x", datatype, shape, data, parameters)


def rows(*inputs: TensorIn, outputs: tuple[Wanted, ...] = (), **parameters: Parameter) -> InferCall:
    return InferCall("rows", inputs=inputs, outputs=outputs, parameters=parameters)


def text(data: Any, shape: Any = (1,), datatype: str = "BYTES") -> InferCall:
    return InferCall("texts", inputs=[TensorIn("text", datatype, shape, data)])


def ragged(shape: Any, data: Any, lengths: TensorIn | None) -> InferCall:
    inputs = [TensorIn("ids", "INT64", shape, data)]
    return InferCall("ragged", inputs=inputs + ([lengths] if lengths else []))


def lengths(shape: Any, data: Any, datatype: str = "INT64") -> TensorIn:
    return TensorIn("ids.lengths", datatype, shape, data)


def small(**given: TensorIn) -> InferCall:
    good = {
        "a": TensorIn("a", "INT8", (1,), [1]),
        "b": TensorIn("b", "UINT16", (1,), [1]),
        "c": TensorIn("c", "BOOL", (1,), [True]),
    }
    return InferCall("small", inputs=list((good | given).values()))


def item(content: bytes, claimed: int | None = None) -> bytes:
    return struct.pack("<I", len(content) if claimed is None else claimed) + content


def single(name: str, datatype: str, shape: Any, data: Any) -> InferCall:
    inputs = {"n": TensorIn("n", "INT64", (1,), [1]), name: TensorIn(name, datatype, shape, data)}
    return InferCall("single", inputs=list(inputs.values()))


IDS = np.arange(6, dtype=np.int64).tobytes()
BAD = "INVALID_ARGUMENT"

ATTACKS = [
    # shapes
    Attack("negative size", rows(x((-1, 4))), BAD, ("`x`", "-1")),
    Attack("two negative sizes", rows(x((-1, -4))), BAD, ("`x`", "-1")),
    Attack("overflowing product", rows(x((2**31 - 1, 2**31 - 1))), BAD, ("`x`", "items")),
    Attack("overflow to zero", rows(x((2**62, 4))), BAD, ("`x`", str(2**31 - 1))),
    Attack("overflow behind a zero", rows(x((0, 2**31 - 1, 2**31 - 1), b"")), BAD, ("`x`",)),
    Attack("too few bytes", rows(x((2, 4))), BAD, ("`x`", "32 bytes", "16")),
    Attack("too many bytes", rows(x(data=ROW + ROW)), BAD, ("`x`", "16 bytes", "32")),
    Attack("half an item", rows(x(data=ROW[:-1])), BAD, ("`x`", "16 bytes", "15")),
    Attack("no bytes", rows(x(data=b"")), BAD, ("`x`", "16 bytes", "0")),
    Attack("wrong row", rows(x((1, 5), ROW + ROW[:4])), BAD, ("`x`", "f32[*, 4]")),
    Attack("rank too low", rows(x((4,))), BAD, ("`x`", "2 dims")),
    Attack("rank too high", rows(x((1, 1, 4))), BAD, ("`x`", "2 dims")),
    Attack("hundred dims", rows(x((1,) * 100)), BAD, ("`x`", "32")),
    # datatypes
    Attack("wrong datatype", rows(x(datatype="FP64", data=ROW + ROW)), BAD, ("`x`", "FP32", "FP64")),
    Attack("unknown datatype", rows(x(datatype="FP8")), BAD, ("`x`", "FP32", "FP8")),
    Attack("no datatype", rows(x(datatype="")), BAD, ("`x`", "FP32")),
    Attack("lower-case datatype", rows(x(datatype="fp32")), BAD, ("`x`", "FP32", "fp32")),
    Attack("BYTES for numbers", rows(x((1,), item(b"a"), "BYTES")), BAD, ("`x`", "FP32", "BYTES")),
    Attack("numbers for BYTES", text(ROW, (4,), "FP32"), BAD, ("`text`", "BYTES", "FP32")),
    # items one by one
    Attack("too few items", rows(x(data=[1.0, 2.0, 3.0])), BAD, ("`x`", "4 items", "3")),
    Attack("too many items", rows(x(data=[1.0] * 5)), BAD, ("`x`", "4 items", "5")),
    Attack("item over its range", small(a=TensorIn("a", "INT8", (1,), [128])), BAD, ("`a`", "128", "127")),
    Attack("item under its range", small(b=TensorIn("b", "UINT16", (1,), [-1])), BAD, ("`b`", "-1")),
    Attack("a byte that is no BOOL", small(c=TensorIn("c", "BOOL", (1,), b"\x02")), BAD, ("`c`", "2", "BOOL")),
    # BYTES
    Attack("length that lies", text(item(b"ab", 200)), BAD, ("`text`", "item 0", "200")),
    Attack("length of 4 GiB", text(item(b"ab", 2**32 - 1)), BAD, ("`text`", "item 0")),
    Attack("length cut off", text(item(b"ab") + b"\x01\x00", (2,)), BAD, ("`text`", "item 1 of 2")),
    Attack("bytes left over", text(item(b"ab") + b"xyz"), BAD, ("`text`", "3 bytes")),
    Attack("fewer items than claimed", text(item(b"ab"), (2,)), BAD, ("`text`",)),
    Attack("a million items in no bytes", text(b"", (1_000_000,)), BAD, ("`text`", "4000000")),
    Attack("no UTF-8", text(item(b"\xff\xfe")), BAD, ("`text`", "item 0", "string")),
    Attack("surrogate", text(item(b"\xed\xa0\x80")), BAD, ("`text`", "item 0")),
    Attack("no JSON", single("j", "BYTES", (1,), [b"{"]), BAD, ("`j`", "item 0", "json")),
    Attack("JSON with NaN", single("j", "BYTES", (1,), [b"NaN"]), BAD, ("`j`", "json")),
    Attack("deep JSON", single("j", "BYTES", (1,), [b"[" * 100_000]), BAD, ("`j`", "json")),
    # single values
    Attack("two for a single", single("n", "INT64", (2,), [1, 2]), BAD, ("`n`", "[1]")),
    Attack("none for a single", single("n", "INT64", (0,), []), BAD, ("`n`", "[1]")),
    # ragged
    Attack("no lengths", ragged((2, 3), IDS, None), BAD, ("`ids`", "`ids.lengths`")),
    Attack("length over the row", ragged((2, 3), IDS, lengths((2, 1), [3, 4])), BAD, ("`ids.lengths`", "4", "3")),
    Attack("negative length", ragged((2, 3), IDS, lengths((2, 1), [3, -1])), BAD, ("`ids.lengths`", "-1")),
    Attack("too few lengths", ragged((2, 3), IDS, lengths((1, 1), [3])), BAD, ("`ids.lengths`", "1", "2")),
    Attack("lengths as INT32", ragged((2, 3), IDS, lengths((2,), [3, 3], "INT32")), BAD, ("`ids.lengths`", "INT64")),
    # names
    Attack("unknown input", rows(x(), TensorIn("w", "FP32", (1,), ROW[:4])), BAD, ("`w`", "x")),
    Attack("missing input", rows(), BAD, ("`x`",)),
    Attack("input twice", rows(x(), x()), BAD, ("`x`", "twice")),
    Attack("NUL in an input's name", rows(x(), TensorIn("x\0", "FP32", (1,), ROW[:4])), BAD, ("input",)),
    Attack("unknown output", rows(x(), outputs=(Wanted("w"),)), BAD, ("`w`", "y")),
    Attack("output twice", rows(x(), outputs=(Wanted("y"), Wanted("y"))), BAD, ("`y`", "twice")),
    Attack("lengths of no ragged output", rows(x(), outputs=(Wanted("y.lengths"),)), BAD, ("`y.lengths`",)),
    Attack("no such pipeline", InferCall("nothing", inputs=[x()]), "NOT_FOUND", ("`nothing`",)),
    Attack("no name at all", InferCall("", inputs=[x()]), "NOT_FOUND", ("pipeline",)),
    Attack("path for a name", InferCall("../../etc/passwd", inputs=[x()]), "NOT_FOUND", ("../../etc/passwd",)),
    Attack("control characters in a name", InferCall("a\n\x1b[31m", inputs=[x()]), "NOT_FOUND", ("a\\n\\x1b[31m",)),
    Attack("a name of a mebibyte", InferCall("n" * 2**20, inputs=[x()]), "NOT_FOUND", ("nnn...",)),
    Attack("no such version", InferCall("rows", "7", inputs=[x()]), "NOT_FOUND", ("`rows`", "7", "1")),
    Attack("version that is no number", InferCall("rows", "one", inputs=[x()]), BAD, ("`rows`", "one")),
    Attack("negative version", InferCall("rows", "-1", inputs=[x()]), BAD, ("`rows`", "-1")),
    Attack("a step", InferCall("rows.y", inputs=[x()]), BAD, ("`rows.y`", "`rows`")),
    # parameters
    Attack("reserved parameter", rows(x(), triton_secret=True), BAD, ("`triton_secret`", "reserved")),
    Attack("headers as a parameter", rows(x(), headers="a"), BAD, ("`headers`", "reserved")),
    Attack("timeout that is no number", rows(x(), timeout="soon"), BAD, ("`timeout`", "soon")),
    Attack("negative timeout", rows(x(), timeout=-1), BAD, ("`timeout`", "-1")),
    Attack("negative priority", rows(x(), priority=-1), BAD, ("`priority`", "-1")),
    Attack("fractional priority", rows(x(), priority=1.5), BAD, ("`priority`", "1.5")),
    Attack("sequence without id", rows(x(), sequence_start=True), BAD, ("`sequence_id`",)),
    Attack("sequence id of a kind", rows(x(), sequence_id=True), BAD, ("`sequence_id`",)),
    Attack("long sequence id", rows(x(), sequence_id="s" * 129), BAD, ("`sequence_id`", "128")),
    Attack("flag that is a number", rows(x(), sequence_id=1, sequence_end=1), BAD, ("`sequence_end`", "1")),
    Attack("long id", InferCall("rows", id="i" * 129, inputs=[x()]), BAD, ("id", "128")),
    Attack("id that forges a line", InferCall("rows", id="a\nERROR", inputs=[x()]), BAD, ("id",)),
    # classification
    Attack("no classes", rows(x(), outputs=(Wanted("y", {"classification": 0}),)), BAD, ("`y`", "0")),
    Attack("too many classes", rows(x(), outputs=(Wanted("y", {"classification": 5}),)), BAD, ("`y`", "5", "4")),
    Attack("classes by name", rows(x(), outputs=(Wanted("y", {"classification": "2"}),)), BAD, ("`y`",)),
    # shared memory, which is off
    Attack("region while it is off", rows(x(data=None, shared_memory_region="r")), "UNAVAILABLE", ("shared memory",)),
]
