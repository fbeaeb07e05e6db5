"""Pages of the checker's mistakes: the wrong example makes the mistake, the right one is right."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pipeline_dsl.check import Options, TextLoader, check
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors import codes, page
from pipeline_dsl.parse import parse
from pipeline_dsl.plan import Hardware
from pipeline_dsl.source import Source

PARTS = """pipe 1

stage twice(x: f32[*]) -> (y: f32[*]) using python("stages:twice")

private pipeline helper(x: f32[*]) -> (y: f32[*]) {
  return y = twice(x)
}
"""
OPTIONS = Options(environ={}, loader=TextLoader({"parts.pipe": PARTS}))
NO_GPU = replace(OPTIONS, hardware=Hardware())
FAMILIES = ("names", "signatures", "settings", "placement", "sequences")
CHECKED = [c for c, entry in codes().items() if entry.where in FAMILIES]


def examples(code: str) -> tuple[str, str]:
    wrong, _, right = page(code).partition("Right:")
    first, second = (re.findall(r"```pipe\n(.*?)```", part, re.DOTALL) for part in (wrong, right))
    return first[0], second[0]


def found(text: str, options: Options = OPTIONS) -> set[str]:
    sink = Sink()
    check(parse(Source("p.pipe", text), sink), options, sink)
    return {d.code for d in sink.sorted()}


@pytest.mark.parametrize("code", CHECKED)
def test_the_wrong_example_makes_the_mistake(code: str) -> None:
    assert code in found(examples(code)[0], NO_GPU if code == "E0607" else OPTIONS)


@pytest.mark.parametrize("code", CHECKED)
def test_the_right_example_is_right(code: str) -> None:
    assert found(examples(code)[1], NO_GPU if code == "E0607" else OPTIONS) <= {"E0599", "W0599"}
