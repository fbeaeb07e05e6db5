"""`pipectl plan`: golden texts of programs made by hand and of every `.pipe` in `golden/plans`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline_dsl.check import Options
from pipeline_dsl.compile import compile_text
from pipeline_dsl.expression_text import expression_text
from pipeline_dsl.ir import Apply, Constant, ParamValue
from pipeline_dsl.plan import Gpu, Hardware, Slot
from pipeline_dsl.plan_text import plan_text
from pipeline_dsl.planning import build
from tests.goldens import GOLDEN, MACHINE, compare

from .graphs import HOST, chain, diamond, embed, number, type_of

NOTHING = Constant(None, type_of("i64"))
WORD, NAMES = Constant("{a}", type_of("string")), Constant(["a"], type_of("json"))
FILES = sorted((GOLDEN / "plans").glob("*.pipe"))
SERVER = Hardware(cores=8, memory=64 << 30, gpus=(Gpu("H200", 141 << 30),))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_plans_of_files(path: Path) -> None:
    """A line `# profile = gpu` in the file selects a profile, `# gpus = 2` a machine with two GPUs."""
    text = path.read_text(encoding="utf-8")
    profile = re.search(r"^# profile = (\w+)$", text, re.MULTILINE)
    options = Options(profile=profile[1] if profile else None, environ={})
    gpus = re.search(r"^# gpus = (\d+)$", text, re.MULTILINE)
    machine = replace(MACHINE, gpus=MACHINE.gpus * int(gpus[1])) if gpus else MACHINE
    plan = compile_text(text, options, machine, path=path.name)
    compare(path.with_suffix(".plan"), plan_text(plan))


def test_there_are_such_files() -> None:
    assert len(FILES) >= 3


def test_a_program_with_everything() -> None:
    compare(GOLDEN / "plans" / "embed_by_hand.plan", plan_text(build(embed(), SERVER)))


def test_without_profile_nothing_is_said_to_have_changed() -> None:
    text = plan_text(build(diamond().program(), HOST))
    assert "profile test\n" not in text
    assert "level 2  run 2  p.b" in text


def test_params_and_where_they_come_from() -> None:
    program = chain(1).program()
    params = {
        "MODELS": ParamValue("models", "env MODELS"),
        "WAIT": ParamValue(1_500_000, "default", type_of("duration")),
    }
    text = plan_text(build(replace(program, params=params), HOST))
    assert '  MODELS = "models"  env MODELS\n  WAIT = 1500us      default\n' in text


def test_every_line_is_free_of_trailing_space_and_the_text_ends_once() -> None:
    text = plan_text(build(embed(), SERVER))
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (Slot(0), "x"),
        (number(2), "2"),
        (Constant('a"b\n', type_of("string")), '"a\\"b\\n"'),
        (Apply("+", (Slot(0), Apply("*", (Slot(1), number(2))))), "(x + (y * 2))"),  # type: ignore[arg-type]  # plan leaves
        (Apply("not", (Slot(0),)), "not x"),  # type: ignore[arg-type]  # plan leaves
        (Apply("neg", (Slot(0),)), "-x"),  # type: ignore[arg-type]  # plan leaves
        (Apply("and", (Slot(0), Slot(1))), "(x and y)"),  # type: ignore[arg-type]  # plan leaves
        (Apply("list", (Slot(0), Slot(1))), "[x, y]"),  # type: ignore[arg-type]  # plan leaves
        (Apply("index", (Slot(0), number(1))), "x[1]"),  # type: ignore[arg-type]  # plan leaves
        (Apply("slice", (Slot(0), NOTHING, number(2))), "x[:2]"),  # type: ignore[arg-type]  # plan leaves
        (Apply("format", (WORD, Slot(1), NAMES)), 'format("{a}", a = y)'),  # type: ignore[arg-type]  # plan leaves
        (Apply("object", (Slot(1), NAMES)), '{"a": y}'),  # type: ignore[arg-type]  # plan leaves
        (Apply("len", (Slot(0),)), "len(x)"),  # type: ignore[arg-type]  # plan leaves
    ],
)
def test_expressions(expression: object, text: str) -> None:
    assert expression_text(expression, ["x", "y"]) == text
