"""Requests that are broken in every way a seed can think of: an answer or a documented code, never anything else.

Cases are mutations of good requests, at the level of bytes and at that of fields; all go through the wire's decoder and
the operations, as those of a client do. PIPECTL_FUZZ sets how many.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

from executor.errors import RequestError
from serving.access import ANYONE
from serving.errors import text
from serving.grpc.wire import decode, encode
from serving.operations import Operations
from serving.protocol import message

from .attacks import IDS, ROW, item
from .programs import running

CASES = int(os.environ.get("PIPECTL_FUZZ", "20000"))
SEEDS = 4
CODES = {"INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
NAMES = ["x", "y", "n", "text", "ids", "ids.lengths", "", "x\n", "é", "a" * 300, "shared_memory_region"]
DATATYPES = ["FP32", "INT64", "BYTES", "BOOL", "FP16", "BF16", "UINT8", "FP64", "fp32", "", "INT128"]
NUMBERS = [0, 1, 2, 3, 4, -1, 255, 2**31 - 1, 2**31, 2**62, -(2**63), 2**63 - 1]
PARAMETERS = [
    *("timeout", "priority", "sequence_id", "sequence_start", "classification", "binary_data", "headers", "custom"),
    *("triton_x", "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"),
]


def good(random: random.Random) -> Any:
    """A request that is answered."""
    name, tensors = random.choice(
        [
            ("rows", [("x", "FP32", [1, 4], ROW)]),
            ("texts", [("text", "BYTES", [2], item(b"one") + item(b"two"))]),
            ("single", [("n", "INT64", [1], bytes(8)), ("j", "BYTES", [1], item(b'{"a": [1, 2]}'))]),
            ("ragged", [("ids", "INT64", [2, 3], IDS), ("ids.lengths", "INT64", [2, 1], bytes(16))]),
            ("halves", [("a", "FP16", [1, 2], bytes(4)), ("b", "BF16", [1, 2], bytes(4))]),
            ("small", [("a", "INT8", [1], b"\x01"), ("b", "UINT16", [1], b"\x01\x00"), ("c", "BOOL", [1], b"\x01")]),
        ]
    )
    request = message("inference.ModelInferRequest")(model_name=name)
    for tensor, datatype, shape, raw in tensors:
        request.inputs.add(name=tensor, datatype=datatype, shape=shape)
        request.raw_input_contents.append(raw)
    return request


def set_parameter(random: random.Random, target: Any) -> None:
    value = target[random.choice(PARAMETERS)]
    field = random.choice(["bool_param", "int64_param", "string_param", "double_param", "uint64_param", ""])
    if field == "int64_param":
        value.int64_param = random.choice(NUMBERS)
    elif field:
        setattr(value, field, {"b": True, "s": "many", "d": 1.5, "u": 2**64 - 1}[field[0]])


def change(random: random.Random, request: Any) -> None:
    """One field of a request."""
    tensor = random.choice(list(request.inputs) or [request.inputs.add()])
    match random.randrange(12):
        case 0:
            tensor.name = random.choice(NAMES)
        case 1:
            tensor.datatype = random.choice(DATATYPES)
        case 2:
            tensor.shape[:] = random.choices(NUMBERS, k=random.randrange(5))
        case 3:
            tensor.shape.append(random.choice(NUMBERS))
        case 4:
            raw = list(request.raw_input_contents)
            raw[random.randrange(len(raw) or 1) :][:1] = []
            request.raw_input_contents[:] = raw[: random.randrange(3)]
        case 5:
            request.raw_input_contents.append(random.randbytes(random.randrange(40)))
        case 6:
            set_parameter(random, request.parameters)
        case 7:
            set_parameter(random, tensor.parameters)
        case 8:
            output = request.outputs.add(name=random.choice(NAMES))
            set_parameter(random, output.parameters)
        case 9:
            request.model_name = random.choice([*NAMES, "rows", "texts", "rows.y"])
        case 10:
            request.model_version = random.choice(["", "1", "2", "-1", "one", "9" * 40])
        case _:
            field = random.choice(["fp32_contents", "int_contents", "bool_contents", "fp64_contents"])
            getattr(tensor.contents, field).extend([1] * random.randrange(6))
            if random.random() < 0.5:
                del request.raw_input_contents[:]


def broken(random: random.Random, data: bytes) -> bytes:
    """Bytes of a request with some of them changed, gone, or more of them."""
    changed = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        place = random.randrange(len(changed) or 1)
        match random.randrange(4):
            case 0:
                changed[place : place + 1] = random.randbytes(1)
            case 1:
                del changed[place : place + random.randrange(1, 5)]
            case 2:
                changed[place:place] = random.randbytes(random.randrange(1, 5))
            case _:
                changed += bytes(random.choice([0, 40_000]))
    return bytes(changed)


def case(random: random.Random) -> bytes:
    request = good(random)
    for _ in range(random.randrange(4)):
        change(random, request)
    data: bytes = request.SerializeToString()
    return broken(random, data) if random.random() < 0.4 else data


async def outcome(ops: Operations, data: bytes) -> tuple[str, str]:
    """The code of the failure and its message, OK for an answer; what is no failure of the request is raised."""
    try:
        encode(await ops.inference.infer(ANYONE, decode(data)))
    except RequestError as error:
        return error.grpc_code, text(error)
    return "OK", ""


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_case_has_an_answer_or_a_code(pipe: Path, seed: int) -> None:
    found: dict[str, int] = {}

    async def scenario() -> None:
        chance = random.Random(seed)
        async with running(pipe) as ops:
            for _ in range(CASES // SEEDS):
                data = case(chance)
                try:
                    code, said = await outcome(ops, data)
                except Exception as error:
                    raise AssertionError(f"seed {seed}: {data.hex()[:4000]}") from error
                assert said.isprintable(), (data.hex()[:4000], said)
                assert len(said) < 2000, (data.hex()[:4000], said)
                found[code] = found.get(code, 0) + 1
            (deployment,) = ops.repository.catalog.deployments
            assert deployment.active == 0
            assert deployment.engine.check_idle() == []

    asyncio.run(scenario())
    assert set(found) <= CODES | {"OK"}
    assert found["OK"] > CASES // SEEDS // 20
    assert found["INVALID_ARGUMENT"] > CASES // SEEDS // 5
