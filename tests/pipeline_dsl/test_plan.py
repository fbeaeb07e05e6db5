"""Plans of programs made by hand: slots, steps, levels, runs, shared runtimes, forms, policies and notes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_dsl.ir import Apply, RaggedRule, Ref, SequenceRule
from pipeline_dsl.plan import (
    AUTO,
    INGRESS,
    BatchPolicy,
    CachePolicy,
    Gpu,
    Hardware,
    Note,
    Plan,
    PortPlan,
    RatePolicy,
    ResourceClaim,
    Slot,
    StagePlan,
    Step,
)
from pipeline_dsl.planning import build

from .graphs import HOST, Build, chain, diamond, function_calls, number, random_dag, stage, type_of

MS = 1_000_000


def planned(made: Build, hardware: Hardware = HOST, **settings: dict[str, dict[str, Any]]) -> Plan:
    return build(made.program(**settings), hardware)


def steps(plan: Plan, pipeline: str = "p") -> dict[str, Step]:
    return {s.node.removeprefix(f"{pipeline}."): s for s in plan.pipelines[pipeline].steps}


def stages(plan: Plan) -> dict[str, StagePlan]:
    return {s.name: s for s in plan.stages}


def runs(plan: Plan) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for name, step in steps(plan).items():
        found.setdefault(step.run, []).append(name)
    return list(found.values())


def texts(plan: Plan, kind: str, place: str = "") -> list[str]:
    return [n.text for n in plan.notes if n.kind == kind and place in ("", n.place)]


class TestWiring:
    def test_inputs_take_the_first_slots_then_outputs_in_order(self) -> None:
        plan = planned(diamond()).pipelines["p"]
        assert [i.slot for i in plan.inputs] == [0]
        assert [s.outputs for s in plan.steps] == [(1,), (2,), (3,), (4,)]
        assert plan.slots == 5
        assert plan.outputs[0].source == Slot(4)

    def test_producers_and_consumers_of_a_diamond(self) -> None:
        a, b, c, d = steps(planned(diamond())).values()
        assert (a.producers, b.producers, c.producers, d.producers) == ((INGRESS,), (0,), (0,), (1, 2))
        assert (a.consumers, b.consumers, c.consumers, d.consumers) == ((1, 2), (3,), (3,), ())

    def test_levels_are_longest_paths(self) -> None:
        made = diamond()
        made.call("late", stage("late", {"l": "f32[*, 4]", "r": "f32[*, 4]"}), Ref("p.x", "x"), Ref("p.d", "y"))
        assert [s.level for s in steps(planned(made)).values()] == [1, 2, 2, 3, 4]

    def test_a_value_read_twice_is_one_producer(self) -> None:
        made = Build()
        x = made.input("x")
        made.output("out", made.call("n", stage("n", {"l": "f32[*, 4]", "r": "f32[*, 4]"}), x, x))
        step = steps(planned(made))["n"]
        assert (step.args, step.producers) == ((Slot(0), Slot(0)), (INGRESS,))

    def test_constants_and_absent_optionals_are_arguments(self) -> None:
        made = Build()
        called = stage("n", {"x": "f32[*, 4]", "k": "i32", "m": "f32[*, 4]?"})
        made.output("out", made.call("n", called, made.input("x"), number(3, "i32"), None))
        assert steps(planned(made))["n"].args == (Slot(0), number(3, "i32"), None)

    def test_an_expression_reads_slots(self) -> None:
        made = Build()
        x = made.input("x", "f32")
        made.output("out", made.compute("y", "+", x, Apply("*", (x, number(2)))), "f32")
        step = steps(planned(made))["y"]
        assert step.stage == -1
        assert step.args == (Slot(0),)
        assert step.expression == Apply("+", (Slot(0), Apply("*", (Slot(0), number(2)))))  # type: ignore[arg-type]  # plan leaves

    def test_an_output_may_be_an_input_or_a_constant(self) -> None:
        made = Build()
        made.output("same", made.input("x"))
        made.output("one", number(1), "f32")
        sources = [o.source for o in planned(made).pipelines["p"].outputs]
        assert sources == [Slot(0), number(1)]

    def test_labels_follow_the_output_that_has_them(self) -> None:
        made = Build()
        called = stage("net", labels={"y": "names.txt"})
        made.output("out", made.call("net", called, made.input("x")))
        assert planned(made).pipelines["p"].outputs[0].labels == "models/names.txt"

    @given(st.integers(0, 10_000), st.integers(1, 40))
    def test_every_slot_is_written_before_it_is_read(self, seed: int, size: int) -> None:
        plan = planned(random_dag(seed, size)).pipelines["p"]
        written = {i.slot for i in plan.inputs}
        for step in plan.steps:
            assert {s.index for s in step.args if isinstance(s, Slot)} <= written
            assert not written & set(step.outputs)
            written |= set(step.outputs)
        assert written == set(range(plan.slots))

    @given(st.integers(0, 10_000), st.integers(1, 40))
    def test_producers_and_consumers_mirror_each_other(self, seed: int, size: int) -> None:
        plan = planned(random_dag(seed, size)).pipelines["p"]
        forward = {(p, s.index) for s in plan.steps for p in s.producers if p != INGRESS}
        assert forward == {(s.index, c) for s in plan.steps for c in s.consumers}
        for step in plan.steps:
            assert list(step.producers) == sorted(set(step.producers))
            assert list(step.consumers) == sorted(set(step.consumers))
            before = [plan.steps[p].level for p in step.producers if p != INGRESS]
            assert step.level == 1 + max(before, default=0)


class TestRuns:
    def test_a_chain_is_one_run(self) -> None:
        assert runs(planned(chain(4))) == [["n0", "n1", "n2", "n3"]]

    def test_a_diamond_is_four(self) -> None:
        assert runs(planned(diamond())) == [["a"], ["b"], ["c"], ["d"]]

    def test_a_value_may_skip_a_step_of_its_own_run(self) -> None:
        made = chain(2)
        both = stage("pool", {"l": "f32[*, 4]", "r": "f32[*, 4]"})
        made.call("pool", both, Ref("p.n1", "y"), Ref("p.n0", "y"))
        assert runs(planned(made)) == [["n0", "n1", "pool"]]

    def test_reading_an_input_as_well_is_a_join(self) -> None:
        made = chain(1)
        made.call("join", stage("join", {"l": "f32[*, 4]", "r": "f32[*, 4]"}), Ref("p.n0", "y"), Ref("p.x", "x"))
        assert runs(planned(made)) == [["n0"], ["join"]]

    def test_a_step_that_waits_begins_a_run(self) -> None:
        plan = planned(chain(3), stages={"s1": {"batching.delay": 2 * MS}})
        assert runs(plan) == [["n0"], ["n1", "n2"]]

    def test_so_does_one_with_a_learnt_delay(self) -> None:
        assert runs(planned(chain(2), stages={"s1": {"batching.delay": "auto"}})) == [["n0"], ["n1"]]

    def test_a_smaller_limit_begins_a_run(self) -> None:
        assert runs(planned(chain(3), stages={"s1": {"batching.max": 8}})) == [["n0"], ["n1", "n2"]]

    def test_a_larger_limit_does_not(self) -> None:
        assert runs(planned(chain(2), stages={"s0": {"batching.max": 8}})) == [["n0", "n1"]]

    def test_the_limit_that_counts_is_the_first_of_the_run(self) -> None:
        limits = {"s0": {"batching.max": 32}, "s1": {"batching.max": 128}, "s2": {"batching.max": 32}}
        assert runs(planned(chain(3), stages=limits)) == [["n0", "n1", "n2"]]

    def test_another_device_begins_a_run(self) -> None:
        assert runs(planned(chain(2), stages={"s1": {"device": "cuda:0"}})) == [["n0"], ["n1"]]

    def test_a_stage_with_two_call_sites_keeps_its_queue(self) -> None:
        one = stage("one")
        made = chain(1)
        value = made.call("first", one, Ref("p.n0", "y"))
        made.call("second", one, value)
        assert runs(planned(made)) == [["n0"], ["first"], ["second"]]

    def test_batching_after_a_stage_that_runs_per_request_needs_a_queue(self) -> None:
        made = Build()
        image = made.call(
            "decode", stage("decode", {"x": "bytes"}, {"y": "f32[4]"}), made.input("x", "bytes"), binding="each"
        )
        made.output("out", made.call("net", stage("net"), image, binding="lift"), "f32[4]")
        assert runs(planned(made)) == [["decode"], ["net"]]

    def test_per_request_work_goes_on_after_a_batch(self) -> None:
        made = chain(1)
        made.call("each", stage("each", {"x": "f32[N, 4]"}, {"y": "f32[4]"}), Ref("p.n0", "y"), binding="each")
        assert runs(planned(made)) == [["n0", "each"]]

    def test_rows_of_another_kind_begin_a_run(self) -> None:
        made = Build()
        boxes = made.call(
            "detect", stage("detect", outputs={"y": "f32[*, ~N, 4]"}), made.input("x", "f32[4]"), binding="lift"
        )
        made.call("net", stage("net"), boxes, binding="rows")
        assert runs(planned(made)) == [["detect"], ["net"]]

    @given(st.integers(0, 10_000), st.integers(1, 40))
    def test_a_run_is_a_path_that_nothing_enters_but_at_its_head(self, seed: int, size: int) -> None:
        plan = planned(random_dag(seed, size)).pipelines["p"]
        members: dict[int, list[Step]] = {}
        for step in plan.steps:
            members.setdefault(step.run, []).append(step)
        for run in members.values():
            for before, step in pairwise(run):
                assert before.index in step.producers
                assert set(step.producers) <= {s.index for s in run}


class TestStages:
    def test_call_sites_share_a_runtime(self) -> None:
        assert [s.name for s in planned(chain(3, stage("one"))).stages] == ["one"]

    def test_pipelines_share_them_too(self) -> None:
        one, other = Build("p"), Build("q")
        for made in (one, other):
            made.output("out", made.call("n", stage("one"), made.input("x")))
        plan = build(one.program(other), HOST)
        assert [s.name for s in plan.stages] == ["one"]

    @pytest.mark.parametrize("key", ["instances", "batching.max", "device"])
    def test_a_block_for_one_call_site_gives_it_its_own(self, key: str) -> None:
        value: Any = {"instances": 2, "batching.max": 8, "device": "cuda:0"}[key]
        plan = planned(chain(3, stage("one")), nodes={"p.n1": {key: value}})
        assert [s.name for s in plan.stages] == ["one", "p.n1"]
        assert [s.stage for s in steps(plan).values()] == [0, 1, 0]

    def test_a_private_copy_inherits_what_it_does_not_set(self) -> None:
        plan = planned(
            chain(2, stage("one")),
            stages={"one": {"instances": 3, "batching.max": 8}},
            nodes={"p.n1": {"batching.max": 16}},
        )
        own = stages(plan)["p.n1"]
        assert (own.instances, own.batching.max_rows) == (3, 16)

    def test_timeout_and_priority_of_a_call_need_no_copy(self) -> None:
        plan = planned(chain(2, stage("one")), nodes={"p.n1": {"timeout": 5 * MS, "priority": 2}})
        assert len(plan.stages) == 1
        assert (steps(plan)["n1"].timeout_ns, steps(plan)["n1"].priority) == (5 * MS, 2)
        assert (steps(plan)["n0"].timeout_ns, steps(plan)["n0"].priority) == (None, None)

    def test_the_shorter_timeout_holds(self) -> None:
        made = chain(1)
        made.call("n", stage("one"), Ref("p.n0", "y"), timeout_ns=3 * MS)
        assert steps(planned(made, stages={"one": {"timeout": 9 * MS}}))["n"].timeout_ns == 3 * MS
        assert steps(planned(made, stages={"one": {"timeout": 2 * MS}}))["n"].timeout_ns == 2 * MS

    def test_pinned_versions_have_runtimes_of_their_own(self) -> None:
        ranker = stage("ranker", versions=(3, 4, 5))
        made = Build()
        x = made.input("x")
        for name, version in (("old", 3), ("new", None), ("newest", 5)):
            made.output(name, made.call(name, ranker, x, version=version))
        plan = planned(made)
        assert [(s.name, s.version) for s in plan.stages] == [("ranker@3", 3), ("ranker", 5)]
        assert [s.stage for s in steps(plan).values()] == [0, 1, 1]

    def test_a_profile_may_place_one_version(self) -> None:
        ranker = stage("ranker", versions=(3, 4))
        made = Build()
        x = made.input("x")
        made.output("old", made.call("old", ranker, x, version=3))
        made.output("new", made.call("new", ranker, x))
        plan = planned(made, stages={"ranker": {"instances": 2}, "ranker@3": {"instances": 1}})
        assert {s.name: s.instances for s in plan.stages} == {"ranker@3": 1, "ranker": 2}

    def test_stages_nobody_calls_are_not_planned(self) -> None:
        made = chain(1)
        made.stages["unused"] = stage("unused")
        assert [s.name for s in planned(made).stages] == ["s0"]

    def test_what_planning_does_not_read_is_kept_for_the_backend(self) -> None:
        plan = planned(chain(1), stages={"s0": {"instances": 2, "accelerate.tensorrt.precision": "fp16"}})
        assert plan.stages[0].extra == {"accelerate.tensorrt.precision": "fp16"}

    def test_isolate_process(self) -> None:
        assert planned(chain(1), stages={"s0": {"isolate": "process"}}).stages[0].isolate


class TestDevice:
    gpu = Hardware(cores=8, gpus=(Gpu("H200", 141 << 30),))

    def device(self, wanted: Any, backend: str, hardware: Hardware) -> str:
        return (
            planned(chain(1, stage("s", backend=backend)), hardware, stages={"s": {"device": wanted}}).stages[0].device
        )

    def test_any_is_the_cpu_without_a_gpu(self) -> None:
        assert self.device("any", "onnx", HOST) == "cpu"

    def test_any_prefers_the_gpu_for_backends_that_can(self) -> None:
        assert self.device("any", "onnx", self.gpu) == "cuda:0"
        assert self.device("any", "python", self.gpu) == "cpu"

    def test_a_named_device_is_kept_though_the_machine_lacks_it(self) -> None:
        assert self.device("cuda:1", "onnx", HOST) == "cuda:1"
        assert self.device("cuda:0,1", "onnx", HOST) == "cuda:0,1"


class TestThreads:
    def threads(self, made: Build, cores: int, **settings: dict[str, dict[str, Any]]) -> dict[str, int]:
        return {s.name: s.threads for s in planned(made, Hardware(cores=cores), **settings).stages}

    def test_a_stage_alone_on_its_level_takes_all_cores(self) -> None:
        assert self.threads(chain(2), 8) == {"s0": 8, "s1": 8}

    def test_instances_share_them(self) -> None:
        assert self.threads(chain(1), 8, stages={"s0": {"instances": 4}}) == {"s0": 2}

    def test_branches_share_them(self) -> None:
        assert self.threads(diamond(), 8) == {"a": 8, "b": 4, "c": 4, "d": 8}

    def test_never_less_than_one(self) -> None:
        assert self.threads(diamond(), 1)["b"] == 1

    def test_a_profile_wins(self) -> None:
        assert self.threads(diamond(), 8, stages={"b": {"threads": 3}})["b"] == 3


PAD = RaggedRule("L", "pad", 7, (32, 64))


class TestForms:
    def inputs(self, types: dict[str, str], *rules: RaggedRule, backend: str = "python") -> list[PortPlan]:
        made = Build()
        made.output("out", made.call("s", stage("s", types, backend=backend, ragged=rules), made.input("x")))
        return list(planned(made).stages[0].inputs)

    @pytest.mark.parametrize(
        ("type_", "form"),
        [
            ("f32", "scalar"),
            ("string", "scalar"),
            ("f32[*]", "dense"),
            ("f32[N, 3]", "dense"),
            ("f32[*, ...]", "dense"),
            ("string[*]", "object"),
            ("json[N]", "object"),
            ("f32[*, ~L, 4]", "ragged"),
            ("string[*, ~L]", "ragged"),
            ("f32[N, ~L]", "ragged"),
        ],
    )
    def test_without_a_rule(self, type_: str, form: str) -> None:
        assert self.inputs({"x": type_})[0].form == form

    @pytest.mark.parametrize(
        ("rule", "form"),
        [
            (PAD, "padded"),
            (RaggedRule("L", "pack"), "packed"),
            (RaggedRule("L", "reject"), "dense"),
            (RaggedRule("M", "pad"), "ragged"),
        ],
    )
    def test_with_a_rule(self, rule: RaggedRule, form: str) -> None:
        assert self.inputs({"x": "f32[*, ~L, 4]"}, rule)[0].form == form

    def test_pad_brings_value_and_buckets(self) -> None:
        (port,) = self.inputs({"x": "i64[*, ~L]"}, PAD)
        assert (port.pad_value, port.buckets) == (7, (32, 64))

    @pytest.mark.parametrize(("type_", "value"), [("string[*, ~L]", ""), ("bool[*, ~L]", False), ("f32[*, ~L]", 0)])
    def test_padding_with_nothing_fits_the_dtype(self, type_: str, value: Any) -> None:
        (port,) = self.inputs({"x": type_}, RaggedRule("L", "pad"))
        assert port.pad_value == value
        assert type(port.pad_value) is type(value)

    def test_two_ragged_dims_need_a_rule_each(self) -> None:
        height, width = RaggedRule("H", "pad"), RaggedRule("W", "pad")
        assert self.inputs({"x": "u8[*, ~H, ~W]"}, height)[0].form == "ragged"
        assert self.inputs({"x": "u8[*, ~H, ~W]"}, height, width)[0].form == "padded"

    def test_companions_are_filled_from_the_first_port_with_the_dim(self) -> None:
        rule = RaggedRule("L", "pad", mask="m", lengths="n")
        ids, mask, lengths = self.inputs({"ids": "i64[*, ~L]", "m": "i64[*, ~L]", "n": "i64[*]"}, rule)
        assert (ids.filled, ids.filled_from) == ("", "")
        assert (mask.filled, mask.filled_from, mask.form) == ("mask", "ids", "padded")
        assert (lengths.filled, lengths.filled_from, lengths.form) == ("lengths", "ids", "dense")

    def test_offsets_go_with_pack(self) -> None:
        values, offsets = self.inputs({"v": "f32[*, ~L]", "cu": "i64[M]"}, RaggedRule("L", "pack", offsets="cu"))
        assert (values.form, offsets.filled, offsets.filled_from) == ("packed", "offsets", "v")

    def test_outputs_follow_the_rule_as_well(self) -> None:
        made = Build()
        called = stage("s", {"x": "f32[*, ~L]"}, {"h": "f32[*, ~L, 8]", "k": "f32[*, ~K]"}, ragged=(PAD,))
        made.call("s", called, made.input("x", "f32[B, ~L]"))
        assert [p.form for p in planned(made).stages[0].outputs] == ["padded", "ragged"]


class TestPolicies:
    def test_without_settings(self) -> None:
        plan = planned(chain(1)).stages[0]
        assert (plan.batching.max_rows, plan.batching.delay_ns) == (64, 0)
        assert [(lv.max_rows, lv.timeout_ns, lv.on_timeout) for lv in plan.queue.levels] == [(1024, 0, "reject")]
        assert (plan.instances, plan.device, plan.warmup) == (1, "cpu", None)

    def test_without_rows_there_is_no_limit(self) -> None:
        made = Build()
        made.output(
            "o", made.call("s", stage("s", {"x": "bytes"}, {"y": "f32"}), made.input("x", "bytes"), binding="each")
        )
        assert planned(made).stages[0].batching.max_rows == 0

    def test_batching(self) -> None:
        settings = {"batching.max": 64, "batching.delay": 2 * MS, "batching.preferred": [64, 16]}
        batching = planned(chain(1), stages={"s0": settings}).stages[0].batching
        assert (batching.max_rows, batching.delay_ns, batching.preferred) == (64, 2 * MS, (16, 64))

    def test_a_learnt_delay(self) -> None:
        assert planned(chain(1), stages={"s0": {"batching.delay": "auto"}}).stages[0].batching.delay_ns == AUTO

    def test_levels_inherit_from_the_queue(self) -> None:
        settings = {"queue.max": 512, "queue.timeout": 50 * MS, "queue.levels": 3, "queue.default_level": 2}
        queue = (
            planned(chain(1), stages={"s0": {**settings, "queue.level.1.max": 16, "queue.level.3.on_timeout": "delay"}})
            .stages[0]
            .queue
        )
        assert queue.default_level == 2
        assert [lv.max_rows for lv in queue.levels] == [16, 512, 512]
        assert [lv.timeout_ns for lv in queue.levels] == [50 * MS] * 3
        assert [lv.on_timeout for lv in queue.levels] == ["reject", "reject", "delay"]

    def test_warmup(self) -> None:
        settings = {"warmup.batch": [1, 64], "warmup.L": [32, 512], "warmup.count": 3}
        warm = planned(chain(1), stages={"s0": settings}).stages[0].warmup
        assert warm is not None
        assert (warm.batches, warm.sizes, warm.count, warm.data) == ((1, 64), {"L": (32, 512)}, 3, "zero")

    def test_the_door_of_a_pipeline(self) -> None:
        settings = {"timeout": 200 * MS, "max_inflight": 8, "queue.max": 16, "queue.timeout": MS}
        plan = planned(chain(1), pipelines={"p": settings}).pipelines["p"]
        assert plan.timeout_ns == 200 * MS
        assert (plan.admission.max_inflight, plan.admission.queue_max, plan.admission.queue_timeout_ns) == (8, 16, MS)


class TestNotes:
    def test_a_stage_without_rows_says_why(self) -> None:
        made = Build()
        made.output(
            "o", made.call("s", stage("s", {"x": "bytes"}, {"y": "f32"}), made.input("x", "bytes"), binding="each")
        )
        assert texts(planned(made), "batching") == ["no `*`: once per request"]

    def test_values_and_sizes_that_must_be_equal(self) -> None:
        made = Build()
        called = stage("s", {"x": "f32[*, S]", "k": "i32", "table": "f32[8]"}, {"y": "f32[*]"})
        given = made.input("x", "f32[B, N]"), made.input("k", "i32"), made.input("table", "f32[8]")
        made.call("s", called, *given)
        assert texts(planned(made), "batching") == [
            "up to 64 rows, takes what waits",
            "batches by equal `k`",
            "batches only calls that share one `table`: it has no `*`",
            "batches by equal `S`",
        ]

    def test_a_port_that_is_one_constant_everywhere_keeps_nothing_apart(self) -> None:
        made = Build()
        called = stage("s", {"x": "f32[*]", "k": "i32"}, {"y": "f32[*]"})
        made.call("s", called, made.input("x", "f32[B]"), number(2))
        assert texts(planned(made), "batching") == ["up to 64 rows, takes what waits"]
        made.call("t", called, made.input("z", "f32[B]"), number(3))
        assert texts(planned(made), "batching")[1:] == ["batches by equal `k`"]

    def test_a_size_that_is_one_number_everywhere_keeps_nothing_apart(self) -> None:
        called = stage("s", {"x": "f32[*, S]"}, {"y": "f32[*]"})
        made = Build()
        made.call("one", called, made.input("x", "f32[B, 8]"))
        assert texts(planned(made), "batching") == ["up to 64 rows, takes what waits"]
        made.call("two", called, made.input("z", "f32[B, 9]"))
        assert texts(planned(made), "batching")[1:] == ["batches by equal `S`"]

    def test_delays_are_told(self) -> None:
        plan = planned(chain(2), stages={"s0": {"batching.delay": 2 * MS}, "s1": {"batching.delay": "auto"}})
        assert texts(plan, "batching") == ["up to 64 rows, waits up to 2ms", "up to 64 rows, waits as long as it pays"]

    def test_rows_from_requests_are_gathered_once(self) -> None:
        copies = [n for n in planned(chain(3)).notes if n.kind == "copy"]
        assert copies == [Note("p.n0", "copy", "`x` of several requests is gathered into a batch, 16 B per row", 16)]

    def test_a_device_crossing_is_a_copy_with_its_bytes(self) -> None:
        plan = planned(chain(2), stages={"s1": {"device": "cuda:0"}})
        assert texts(plan, "copy", "p.n1") == ["`p.n0.y` goes from cpu to cuda:0, 16 B per row"]

    def test_padding_is_a_copy_and_equal_padding_is_not(self) -> None:
        made = Build()
        one, two = (stage(n, {"x": "f32[*, ~L]"}, {"y": "f32[*, ~L]"}, ragged=(PAD,)) for n in ("one", "two"))
        made.output("o", made.call("two", two, made.call("one", one, made.input("x", "f32[B, ~L]"))))
        plan = planned(made)
        assert texts(plan, "copy", "p.one") == ["`x` is padded for `x`, 4 B x L per row"]
        assert texts(plan, "copy", "p.two") == []

    def test_what_a_profile_changed_and_where(self) -> None:
        plan = planned(chain(1), stages={"s0": {"instances": 2, "batching.delay": 2 * MS}})
        assert texts(plan, "setting", "s0") == [
            "instances = 2 (default 1), from profile test, p.pipe:1",
            "batching.delay = 2ms (default 0s), from profile test, p.pipe:1",
        ]


class TestPlan:
    def test_plans_are_frozen_and_equal_for_equal_programs(self) -> None:
        plan = planned(random_dag(1, 20))
        assert plan == planned(random_dag(1, 20))
        with pytest.raises(FrozenInstanceError):
            plan.path = "other"  # type: ignore[misc]  # that is what is tested

    def test_the_digest_follows_the_program_and_not_the_profile(self) -> None:
        plan = planned(chain(2))
        assert planned(chain(2), stages={"s0": {"instances": 2}}).digest == plan.digest
        assert planned(chain(3)).digest != plan.digest

    def test_types_at_each_place(self) -> None:
        assert steps(planned(chain(1)))["n0"].types == (type_of("f32[B, 4]"),)

    @pytest.mark.parametrize("shape", [chain, lambda n: random_dag(5, n)])
    def test_work_grows_with_the_program_and_no_faster(self, shape: Any) -> None:
        small, large = (shape(n).program() for n in (200, 2000))
        work = [function_calls(lambda p=p: build(p, HOST)) for p in (small, large)]
        assert work[1] <= 10 * work[0] * 1.2


# ---- caches, claims, rates, versions, sequences


def test_what_a_profile_keeps_and_limits() -> None:
    keys = {
        "cache.size": 1024,
        "cache.ttl": 5 * MS,
        "cache.key": ("x",),
        "limit.resource.bus": 2,
        "limit.total.bus": 6,
        "limit.priority": 3,
        "batching.order": "keep",
    }
    door = {"rate_limit.rate": 2.5, "rate_limit.per": 7 * MS, "rate_limit.by": "x-user"}
    plan = planned(chain(1), stages={"s0": keys}, pipelines={"p": door})
    (made,) = plan.stages
    assert made.cache == CachePolicy(1024, 5 * MS, ("x",))
    assert (made.limits, made.limit_priority, plan.resources) == ((ResourceClaim("bus", 2),), 3, {"bus": 6})
    assert made.batching.in_order
    assert made.extra == {}
    assert plan.pipelines["p"].rate == RatePolicy(2.5, 7 * MS, 2, "x-user")


def test_nothing_is_kept_or_limited_unless_it_is_said() -> None:
    plan = planned(chain(1))
    (made,) = plan.stages
    assert (made.cache, made.limits, plan.resources, plan.pipelines["p"].rate) == (None, (), {}, None)


@pytest.mark.parametrize(
    ("rule", "policy"),
    [
        (SequenceRule(strategy="direct", slots=8), BatchPolicy(8)),
        (SequenceRule(strategy="oldest", slots=8, delay_ns=MS), BatchPolicy(64, MS)),
        (SequenceRule(strategy="direct"), BatchPolicy(64)),
    ],
)
def test_direct_slots_are_the_rows_of_a_batch(rule: SequenceRule, policy: BatchPolicy) -> None:
    made = Build(sequence=True)
    called = stage("s", sequence=rule)
    made.output("out", made.call("a", called, made.input("x", "f32[4]"), binding="lift"), "f32[4]")
    plan = planned(made)
    assert plan.stages[0].batching == policy
    assert plan.pipelines["p"].sequence


def test_a_sequence_stage_is_on_no_run() -> None:
    plan = planned(chain(2, None))
    assert [s.run for s in plan.pipelines["p"].steps] == [0, 0]
    made = Build(sequence=True)
    first = made.call("a", stage("a"), made.input("x"), binding="rows")
    made.output("out", made.call("b", stage("b", sequence=SequenceRule()), first))
    assert [s.run for s in planned(made).pipelines["p"].steps] == [0, 1]


def test_versions_that_nobody_calls_are_kept_loaded() -> None:
    made = Build()
    called = stage("s", versions=(1, 2, 3, 4))
    made.output("out", made.call("a", called, made.input("x")))
    kept = planned(made, stages={"s": {"versions": (1, 3)}, "s@1": {"instances": 2}})
    assert [(s.name, s.version, s.instances) for s in kept.stages] == [("s", 3, 1), ("s@1", 1, 2)]
    assert [s.stage for s in kept.pipelines["p"].steps] == [0]
    chosen = planned(made, stages={"s": {"versions": (1, 3), "version": 1}})
    assert [(s.name, s.version) for s in chosen.stages] == [("s", 1), ("s@3", 3)]
