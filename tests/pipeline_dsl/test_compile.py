"""The driver: from a text or file to a plan, or to every mistake at once."""

from __future__ import annotations

import gc
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import pipeline_dsl
from pipeline_dsl import Hardware, Options
from pipeline_dsl.compile import (
    FOLLOW_UPS,
    check_module,
    check_path,
    check_text,
    compile_module,
    compile_path,
    compile_text,
    optimized,
)
from pipeline_dsl.diagnostics import CompileError, Sink
from pipeline_dsl.errors import codes
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source
from pipeline_dsl.verify import InvalidGraph

from .graphs import function_calls

TEXT = """\
pipe 1

stage double(x: f32[*, 4]) -> (y: f32[*, 4]) using python("m:double")

pipeline twice(x: f32[*, 4]) -> (y: f32[*, 4]) {
  once = double(x)
  unused = double(x)
  return y = double(once)
}

profile wide {
  double { batching { max = 8, delay = 2ms } }
}
"""
MISTAKES = TEXT.replace("double(once)", "double(onec)").replace("delay = 2ms", "delya = 2ms")


def codes_of(sink: Sink) -> list[str]:
    return [d.code for d in sink.sorted()]


class TestCompile:
    def test_a_text_becomes_a_plan(self) -> None:
        plan = compile_text(TEXT, hardware=Hardware(cores=2), path="twice.pipe")
        assert [s.node for s in plan.pipelines["twice"].steps] == ["twice.once", "twice.y"]
        assert (plan.path, plan.hardware.cores) == ("twice.pipe", 2)

    def test_a_profile_is_selected(self) -> None:
        plan = compile_text(TEXT, Options(profile="wide"))
        assert (plan.profile, plan.stages[0].batching.max_rows, plan.stages[0].batching.delay_ns) == (
            "wide",
            8,
            2_000_000,
        )

    def test_a_file_and_its_text_give_the_same_plan(self, tmp_path: Path) -> None:
        file = tmp_path / "twice.pipe"
        file.write_text(TEXT, encoding="utf-8")
        assert compile_path(file) == compile_text(TEXT, path=str(file))

    def test_so_does_its_module(self) -> None:
        module = parse(Source("<text>", TEXT), Sink())
        assert compile_module(module) == compile_text(TEXT)

    def test_layout_and_comments_do_not_change_the_digest(self) -> None:
        other = TEXT.replace("  once =", "  # first\n\n  once   =")
        assert compile_text(other).digest == compile_text(TEXT).digest

    def test_work_grows_with_the_text_and_no_faster(self) -> None:
        def long_text(calls: int) -> str:
            body = "".join(f"  v{i + 1} = double(v{i})\n" for i in range(calls))
            head, tail = TEXT.split("  once = double(x)\n")[0], f"  return y = v{calls}\n}}\n"
            return head + body.replace("double(v0)", "double(x)") + tail

        compile_text(long_text(3))  # grammar tables and other things made once
        small, large = (function_calls(partial(compile_text, long_text(n))) for n in (100, 1000))
        assert large <= 10 * small * 1.2


class TestMistakes:
    def test_all_of_them_come_at_once(self) -> None:
        with pytest.raises(CompileError) as caught:
            compile_text(MISTAKES)
        assert {"E0103", "E0603"} <= {d.code for d in caught.value.diagnostics}

    def test_check_gives_no_program_and_the_same_mistakes(self) -> None:
        program, sink = check_text(MISTAKES)
        assert program is None
        assert {"E0103", "E0603"} <= set(codes_of(sink))

    def test_warnings_alone_do_not_stop_anything(self) -> None:
        program, sink = check_text(TEXT)
        assert program is not None
        assert not sink.has_errors

    def test_a_module_is_checked_like_its_text(self) -> None:
        module = parse(Source("<text>", MISTAKES), Sink())
        assert codes_of(check_module(module)[1]) == codes_of(check_text(MISTAKES)[1])

    def test_beside_a_syntax_error_other_mistakes_are_still_found(self) -> None:
        broken = MISTAKES.replace("once = double(x)", "once = double(x").replace("unused = double(x)", "")
        found = codes_of(check_text(broken)[1])
        assert "E0603" in found
        assert found[0] < "E01"

    def test_what_follows_from_a_syntax_error_is_not_told(self) -> None:
        broken = TEXT.replace("  once = double(x)\n", "  once = = double(x)\n")
        found = codes_of(check_text(broken)[1])
        assert found
        assert all(code < "E01" or code.startswith("W") for code in found), found
        assert not set(found) & FOLLOW_UPS

    def test_follow_ups_are_codes_of_the_catalogue(self) -> None:
        assert set(codes()) >= FOLLOW_UPS

    def test_a_file_that_can_not_be_read_is_a_diagnostic(self, tmp_path: Path) -> None:
        program, sink = check_path(tmp_path / "missing.pipe")
        assert program is None
        assert sink.errors
        with pytest.raises(CompileError, match=r"missing\.pipe"):
            compile_path(tmp_path / "missing.pipe")


class TestCollector:
    def test_it_stands_still_meanwhile_and_goes_on_afterwards(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[bool] = []

        def read(path: object) -> Source:
            seen.append(gc.isenabled())
            raise CompileError([])

        monkeypatch.setattr("pipeline_dsl.compile.read", read)
        with pytest.raises(CompileError):
            compile_path("x.pipe")
        assert seen == [False]
        assert gc.isenabled()

    def test_who_paused_it_before_keeps_it_paused(self) -> None:
        gc.disable()
        try:
            check_text(TEXT)
            assert not gc.isenabled()
        finally:
            gc.enable()


class TestPackage:
    def test_public_names_resolve(self) -> None:
        assert all(getattr(pipeline_dsl, name) is not None for name in pipeline_dsl.__all__)
        assert set(pipeline_dsl.__all__) <= set(dir(pipeline_dsl))

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match=r"pipeline_dsl.*nonsense"):
            pipeline_dsl.nonsense  # noqa: B018 - the access is what is tested

    def test_passes_are_verified_when_asked(self) -> None:
        program, _ = check_text(TEXT)
        assert program is not None
        graph = optimized(program, verify=True).pipelines["twice"]
        assert [n.id for n in graph.calls] == ["twice.once", "twice.y"]
        with pytest.raises(InvalidGraph):
            optimized(replace(program, pipelines={"other": replace(graph, name="other")}), verify=True)
