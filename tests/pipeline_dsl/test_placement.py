"""Devices of a profile: GPUs that are there, and values that leave the one they are made on."""

from __future__ import annotations

import pytest

from pipeline_dsl.plan import Gpu, Hardware

from .checking import options, program_of

STAGES = """
stage encode(x: f32[*, ~L]) -> (h: f32[*, ~L, 384], top: f32[*, 4], name: string[*])
  where L <= 512
  using onnx("encode.onnx") {
  ragged { L = pad(0) }
}
stage pool(h: f32[*, ~L, 384]) -> (y: f32[*]) using python("m:pool")
stage rank(top: f32[*, 4]) -> (y: f32[*]) using python("m:rank")
stage judge(x: f32[8]) -> (score: f32, word: string) using torch("judge.pt2")
pipeline p(x: f32[*, ~L], v: f32[8]) -> (a: f32[*], b: f32[*], good: bool, text: string) {
  e = encode(x)
  j = judge(v)
  a = pool(e.h)
  return a, b = rank(e.top), good = j.score > 0.5, text = j.word + "!"
}
"""


def codes(block: str, hardware: Hardware | None = None) -> list[str]:
    return program_of(f"{STAGES}profile a {{\n{block}\n}}", options(profile="a", hardware=hardware))[1]


@pytest.mark.parametrize(
    ("block", "found"),
    [
        ("", []),
        ("* { device = any }", []),
        ("encode { device = cuda(0) }", ["W0602"]),
        ("encode { device = cuda(0) }\n pool { device = cuda(0) }", []),
        ("encode { device = cuda(0) }\n pool { device = any }", []),
        ("encode { device = cuda(0) }\n pool { device = cuda(1) }", ["W0602"]),
        ("p.e { device = cuda(0) }", ["W0602"]),
        ("pool { device = cuda(0) }", []),
        ("judge { device = cuda(0) }", ["W0501"]),
    ],
)
def test_values_that_leave_a_gpu(block: str, found: list[str]) -> None:
    assert codes(block) == found


@pytest.mark.parametrize(
    ("device", "gpus", "found"),
    [
        ("cuda(0)", 1, []),
        ("cuda(1)", 1, ["E0607"]),
        ("cuda([0, 1])", 2, []),
        ("cuda([0, 2])", 2, ["E0607"]),
        ("cuda(0)", 0, ["E0607"]),
        ("any", 0, []),
        ("cpu", 0, []),
    ],
)
def test_gpus_that_are_there(device: str, gpus: int, found: list[str]) -> None:
    hardware = Hardware(gpus=(Gpu("H200", 141 << 30),) * gpus)
    assert codes(f"rank {{ device = {device} }}", hardware) == found


def test_without_a_machine_every_gpu_may_be_there() -> None:
    assert codes("rank { device = cuda(7) }") == []
