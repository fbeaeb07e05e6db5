"""Where stages are placed: `any` by load, `--device` before profiles, instances over several devices, `sim`."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from pipeline_dsl.check import Options
from pipeline_dsl.compile import check_text, compile_text
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.graph_text import streams_of
from pipeline_dsl.graph_text.palette import colours
from pipeline_dsl.plan import DeviceOverride, Gpu, Hardware, Plan, device_of
from pipeline_dsl.plan_text import plan_text
from pipeline_dsl.planning.devices import resolve

IDLE = Gpu("G", 100)
TWO = Hardware(4, gpus=(IDLE, IDLE))
ONNX = ("any", "onnx", 1)

PROGRAM = """pipe 1
stage words(text: string[*]) -> (n: f32[*, 4]) using python("m:words")
stage a(x: f32[*, 4]) -> (y: f32[*, 4]) using onnx("a.onnx")
stage b(x: f32[*, 4]) -> (y: f32[*, 4]) using onnx("b.onnx")
stage c(x: f32[*, 4]) -> (y: f32[*, 4]) using python("m:c")
param WHERE: string = "sim:1"
pipeline p(text: string[N]) -> (out: f32[N, 4]) {
  n = words(text)
  l = a(n)
  r = b(l)
  return out = c(r)
}
profile gpu { a { device = cuda(0) }, b { device = any }, c { device = cuda([0, 1]), instances = 3 } }
profile far { a { device = cuda(7) } }
profile simulated { a { device = sim }, b { device = sim(2) }, c { device = sim([0, 1]) }, words { device = WHERE } }
"""


def devices(options: Options, hardware: Hardware | None = TWO) -> list[str]:
    return [stage.device for stage in planned(options, hardware).stages]


def planned(options: Options, hardware: Hardware | None = TWO) -> Plan:
    return compile_text(PROGRAM, replace(options, environ={}), hardware)


class TestAny:
    def test_stages_go_in_turn_where_load_is_equal(self) -> None:
        assert list(resolve([ONNX] * 4, TWO)) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]

    @pytest.mark.parametrize("taken", [Gpu("G", 100, used=30), Gpu("G", 100, busy=0.3), Gpu("G", 0, busy=0.3)])
    def test_the_gpu_with_less_load_comes_first(self, taken: Gpu) -> None:
        assert list(resolve([ONNX] * 3, Hardware(4, gpus=(taken, IDLE)))) == ["cuda:1"] * 3

    def test_a_little_more_load_is_the_same_load(self) -> None:
        hardware = Hardware(4, gpus=(Gpu("G", 100, used=3), Gpu("G", 100, used=1)))
        assert list(resolve([ONNX] * 2, hardware)) == ["cuda:0", "cuda:1"]

    def test_what_profiles_place_counts(self) -> None:
        found = resolve([ONNX, ("cuda:0", "onnx", 2), ONNX, ("cuda:0,1", "onnx", 2), ONNX], TWO)
        assert list(found) == ["cuda:1", "cuda:0", "cuda:1", "cuda:0,1", "cuda:0"]

    def test_it_is_the_host_without_a_gpu_or_for_what_can_use_none(self) -> None:
        assert list(resolve([ONNX], Hardware(4))) == ["cpu"]
        assert list(resolve([("any", "python", 1)], TWO)) == ["cpu"]


class TestOverride:
    @pytest.mark.parametrize(
        ("device", "found"),
        [
            ("", ["cpu", "cuda:0", "cuda:1", "cuda:0,1"]),
            ("cpu", ["cpu"] * 4),
            ("sim", ["sim:0"] * 4),
            ("cuda", ["cpu", "cuda:0", "cuda:1", "cuda:0"]),
        ],
    )
    def test_it_goes_before_the_profile(self, device: DeviceOverride, found: list[str]) -> None:
        assert devices(Options("gpu", device=device)) == found

    def test_what_it_replaces_need_not_be_there(self) -> None:
        with pytest.raises(CompileError, match="cuda"):
            devices(Options("far"))
        assert devices(Options("far", device="cpu"), Hardware(4)) == ["cpu"] * 4
        assert devices(Options("far", device="sim"), Hardware(4)) == ["sim:0"] * 4

    def test_cuda_needs_a_gpu(self) -> None:
        with pytest.raises(CompileError) as caught:
            devices(Options(device="cuda"), Hardware(4))
        (mistake,) = caught.value.diagnostics
        assert mistake.code == "E0607"
        assert mistake.message == "`--device cuda`: this machine has no GPU"
        assert "--device sim" in mistake.help
        with pytest.raises(CompileError, match="E0607"):
            compile_text(PROGRAM.partition("profile")[0], Options(environ={}, device="cuda"), Hardware(4))

    def test_an_unknown_machine_may_have_one(self) -> None:
        assert devices(Options(device="cuda"), None) == ["cpu", "cuda:0", "cuda:0", "cpu"]

    def test_copies_that_a_profile_would_make_are_not_told(self) -> None:
        text = PROGRAM.replace("b { device = any }", "b { device = cpu }").replace("4]", "99999]")
        told = {d.code for d in check_text(text, Options("gpu", environ={}))[1].sorted()}
        assert "W0602" in told
        untold = {d.code for d in check_text(text, Options("gpu", environ={}, device="cpu"))[1].sorted()}
        assert "W0602" not in untold


class TestSerial:
    def test_it_is_one_stream_without_events(self) -> None:
        plan = planned(Options("simulated", serial=True))
        assert plan.serial
        pipeline = plan.pipelines["p"]
        assert {step.stream for step in pipeline.steps} == {0}
        assert not any(step.waits or step.signals for step in pipeline.steps)


class TestSimulated:
    def test_profiles_may_say_it(self) -> None:
        assert devices(Options("simulated"), Hardware(4)) == ["sim:1", "sim:0", "sim:2", "sim:0,1"]

    def test_it_is_a_device_as_others(self) -> None:
        (one, *_) = planned(Options(device="sim")).pipelines["p"].device_streams
        assert (one.device, one.streams, one.edges) == ("sim:0", 1, 3)


class TestMultiprocessors:
    """`sms`: streams of a partition, where there are multiprocessors."""

    TEXT = PROGRAM + "profile part extends gpu { a { sms = 16 }, p.r { sms = 8 } }\n"

    def plan(self, device: DeviceOverride = "", profile: str = "part") -> Plan:
        return compile_text(self.TEXT, Options(profile, environ={}, device=device), TWO)

    def test_they_are_a_stage_s_or_a_call_s(self) -> None:
        assert {s.name: s.sms for s in self.plan().stages} == {"words": 0, "a": 16, "p.r": 8, "c": 0}
        assert {s.name: s.sms for s in self.plan("sim").stages} == {"words": 0, "a": 16, "p.r": 8, "c": 0}
        assert not any("sms" in s.extra for s in self.plan().stages)

    def test_the_host_has_none(self) -> None:
        assert {s.sms for s in self.plan("cpu").stages} == {0}
        apart = self.TEXT.replace("sms = 16", "sms = 16, isolate = process")
        assert compile_text(apart, Options("part", environ={}), TWO).stages[1].sms == 0

    def test_plans_tell(self) -> None:
        text = plan_text(self.plan())
        assert "its work is kept to 16 multiprocessors of its GPU, on streams that are not counted below" in text
        assert re.search(r"p\.l +a\(x = n\) +cuda:0 sms 16 ", text)
        assert re.search(r"p\.out +c\(x = r\) +cuda:0,1 stream 0 ", text)
        assert streams_of(self.plan(), "p")["p.l"] == "cuda:0 sms 16"
        assert colours("cuda:0 sms 16") == colours("cuda:0")
        assert " sms " not in plan_text(self.plan("cpu")).partition("profile part\n")[0]

    @pytest.mark.parametrize("keys", ["sms = 8", "device = cpu, sms = 8"])
    def test_a_stage_on_the_host_is_told(self, keys: str) -> None:
        def told(device: DeviceOverride = "") -> list[str]:
            text = PROGRAM + f"profile x {{ * {{ device = any }}, a {{ {keys} }} }}\n"
            text = text if "device" in keys else text.replace("* { device = any }, ", "")
            found = check_text(text, Options("x", environ={}, device=device))[1].sorted()
            return [d.message for d in found if d.code == "W0601"]

        assert told() == ["`sms` has no effect: `a` is on the host"]
        assert told("sim") == told("cpu") == []

    @pytest.mark.parametrize(
        "block", ["* { sms = 8 }", "a { device = any, sms = 8 }", "* { device = sim }, a { sms = 8 }"]
    )
    def test_what_may_be_on_a_gpu_is_not(self, block: str) -> None:
        text = PROGRAM + f"profile x {{ {block} }}\n"
        assert "W0601" not in {d.code for d in check_text(text, Options("x", environ={}))[1].sorted()}


class TestDeviceOf:
    def test_instances_go_round(self) -> None:
        stage = planned(Options("gpu")).stages[3]
        assert [device_of(stage, i) for i in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]

    @pytest.mark.parametrize("device", ["cpu", "cuda:1", "sim:0"])
    def test_one_device_is_that_of_all(self, device: str) -> None:
        stage = replace(planned(Options("gpu")).stages[0], device=device)
        assert {device_of(stage, i) for i in range(3)} == {device}
