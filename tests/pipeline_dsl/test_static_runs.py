"""Static runs: which steps may run as one, and the plans of programs that have some."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_dsl.compile import Options, compile_text
from pipeline_dsl.plan import INGRESS, FusedPlan, Given, Gpu, Hardware, Made, Plan
from pipeline_dsl.plan_html import plan_html
from pipeline_dsl.plan_text import plan_text
from pipeline_dsl.planning.static_runs import Joining, static_runs

IN = (INGRESS,)


def one(name: str = "s", **facts: Any) -> Joining:
    return Joining(name, **{"device": "cuda:0", "rows": "rows", "max_rows": 8, **facts})


def sets(producers: list[tuple[int, ...]], *facts: Joining | None) -> tuple[tuple[int, ...], ...]:
    return static_runs(list(facts) or [one()] * len(producers), producers)


class TestSets:
    @pytest.mark.parametrize(
        ("producers", "found"),
        [
            pytest.param([IN, (0,), (1,)], ((0, 1, 2),), id="chain"),
            pytest.param([IN, (0,), (0,), (1, 2)], ((0, 1, 2, 3),), id="diamond"),
            pytest.param([IN, (0,), (0,), (1,)], ((0, 1, 2, 3),), id="fork"),
            pytest.param([IN, IN, (0, 1)], ((0, 1, 2),), id="two that are entered with the same"),
            pytest.param([IN, (INGRESS, 0)], ((0, 1),), id="one reads what the first reads too"),
            pytest.param([IN], (), id="one alone is no set"),
            pytest.param([(), ()], ((0, 1),), id="what reads constants only starts with the inputs"),
        ],
    )
    def test_as_large_as_they_may_be(self, producers: list[tuple[int, ...]], found: Any) -> None:
        assert sets(producers) == found

    def test_what_comes_from_two_places_is_joined_before_a_set(self) -> None:
        """0 and 1 are two producers that are in no set; 3 reads both of them after 2 did."""
        facts = [None, None, one(), one(), one()]
        assert sets([IN, IN, (0, 1), (1, 2), (3,)], *facts) == ((2, 3, 4),)
        assert sets([IN, IN, (0,), (1, 2), (3,)], *facts) == ((3, 4),)

    def test_a_path_does_not_leave_a_set_and_come_back(self) -> None:
        facts = [one(), None, one()]
        assert sets([IN, (0,), (0, 1)], *facts) == ()

    @pytest.mark.parametrize(
        "other",
        [
            {"device": "cuda:1"},
            {"rows": "lift"},
            {"max_rows": 7},
            {"instances": 2},
            {"waits": True},
            {"only": frozenset(("b", "c"))},
        ],
    )
    def test_what_differs_runs_apart(self, other: dict[str, Any]) -> None:
        assert sets([IN, (0,)], one("a"), one("b", **other)) == ()

    def test_the_first_alone_may_wait_for_company(self) -> None:
        assert sets([IN, (0,)], one(waits=True), one()) == ((0, 1),)

    def test_a_stage_without_a_limit_takes_whatever_the_first_takes(self) -> None:
        assert sets([IN, (0,)], one(), one(max_rows=0)) == ((0, 1),)
        assert sets([IN, (0,)], one(max_rows=0), one(max_rows=0)) == ((0, 1),)
        assert sets([IN, (0,)], one(max_rows=0), one()) == ()

    def test_names_hold_for_all_members(self) -> None:
        only = frozenset(("a", "b"))
        assert sets([IN, (0,), (1,)], one("a", only=only), one("b"), one("c")) == ((0, 1),)
        assert sets([IN, IN, (0, 1)], one("a"), one("b", only=frozenset("bc")), one("c")) == ()

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_of_random_graphs_keep_the_rules(self, data: st.DataObject) -> None:
        n = data.draw(st.integers(1, 14))
        producers: list[tuple[int, ...]] = []
        facts: list[Joining | None] = []
        for step in range(n):
            reads = data.draw(st.sets(st.integers(INGRESS, step - 1), min_size=1, max_size=3))
            producers.append(tuple(sorted(reads)))
            facts.append(
                data.draw(
                    st.none()
                    | st.builds(
                        one,
                        st.sampled_from("abcd"),
                        max_rows=st.sampled_from([0, 4, 8]),
                        waits=st.booleans(),
                        only=st.none() | st.frozensets(st.sampled_from("abcd"), min_size=2),
                    )
                )
            )
        facts = [
            f if f is None or f.only is None else one(f.name, max_rows=f.max_rows, only=f.only | {f.name})
            for f in facts
        ]
        found = sets(producers, *facts)
        assert len({step for members in found for step in members}) == sum(map(len, found))
        for members in found:
            check_set(members, producers, facts)


def check_set(members: tuple[int, ...], producers: list[tuple[int, ...]], facts: list[Joining | None]) -> None:
    """The rules as they are written down, from scratch."""
    inside = set(members)
    known = [fact for m in members if (fact := facts[m]) is not None]
    assert len(known) == len(members)
    first, *others = known
    sources = set(producers[members[0]])
    assert not sources & inside
    for member in members:
        assert set(producers[member]) - inside <= sources
    assert not any(other.waits for other in others)
    assert all(other.max_rows == 0 or 0 < first.max_rows <= other.max_rows for other in others)
    names = {fact.name for fact in known}
    assert all(fact.only is None or names <= fact.only for fact in known)
    after: set[int] = set()  # what a path out of the set may reach
    for step in range(len(producers)):
        if step in inside:
            assert not after & set(producers[step]), "a path leaves the set and comes back"
        elif set(producers[step]) & (inside | after):
            after.add(step)


# ---- plans

HEAD = """pipe 1
stage a(x: f32[*, 4]) -> (y: f32[*, 4]) using torch("a.pt2")
stage b(x: f32[*, 4]) -> (y: f32[*, 4], z: f32[*, 4]) using torch("b.pt2")
stage c(x: f32[*, 4]) -> (y: f32[*, 4]) using torch("c.pt2")
stage d(x: f32[*, 4], z: f32[*, 4], scale: f32 = 2.0) -> (y: f32[*, 4]) using torch("d.pt2")
stage e(x: f32[*, N]) -> (y: f32[*, N]) using torch("e.pt2")
stage w(x: f32[4]) -> (y: f32[4]) using torch("w.pt2")
stage t(x: string[*]) -> (y: f32[*, 4]) using python("m:t")
"""
DIAMOND = """pipeline p(x: f32[*, 4]) -> (y: f32[*, 4], z: f32[*, 4]) {
  h = a(x)
  u, spare = b(h)
  v = c(h)
  return y = d(u, v), z = v
}
"""


def planned(text: str, profile: str = "", device: str = "cuda(0)") -> Plan:
    text = f"{HEAD}{text}profile gpu {{\n  * {{ device = {device} }}\n{profile}\n}}\n"
    return compile_text(text, Options(profile="gpu"), Hardware(cores=2, gpus=(Gpu("G", 1 << 30), Gpu("G", 1 << 30))))


def nodes(plan: Plan) -> list[list[str]]:
    return [[m.node for m in one.members] for one in plan.fused]


def said(plan: Plan) -> list[str]:
    return [f"{n.place} {n.text}" for n in plan.notes if n.kind == "run"]


class TestPlans:
    def test_a_diamond(self) -> None:
        plan = planned(DIAMOND)
        (fused,) = plan.fused
        assert nodes(plan) == [["p.h", "p.u", "p.v", "p.y"]]
        assert [m.inputs[:2] for m in fused.members] == [
            (Given(0),),
            (Made(0, 0),),
            (Made(0, 0),),
            (Made(1, 0), Made(2, 0)),
        ]
        assert len({m.stream for m in fused.members}) == 2
        assert fused.made == (Made(2, 0), Made(3, 0))
        assert fused.slots == tuple(o.source.index for o in sorted(plan.pipelines["p"].outputs, key=slot_of))  # type: ignore[union-attr]
        assert fused.stage.name == "a"
        assert fused.stage.index == len(plan.stages)
        assert [str(p.type) for p in fused.stage.inputs] == ["f32[*, 4]"]
        assert fused.graphs == (1, 2, 4, 8, 16, 32, 64)
        assert fused.outputs_of((0, 2)) == (0,)
        assert fused.inputs_of((1, 2)) == frozenset()

    def test_host_plans_have_none(self) -> None:
        assert planned(DIAMOND, device="cpu").fused == ()

    def test_what_is_on_the_host_parts_sets(self) -> None:
        plan = planned(DIAMOND, "  c { device = cpu }")
        assert nodes(plan) == [["p.h", "p.u"]]

    def test_devices_part_sets(self) -> None:
        plan = planned(DIAMOND, "  c { device = cuda(1) }")
        assert nodes(plan) == [["p.h", "p.u"]]

    @pytest.mark.parametrize(
        "keys",
        [
            "fuse = false",
            "isolate = process",
            "cache { size = 1MiB }",
            "timeout = 5ms",
            "priority = 1",
            "affine = true",
            "sms = 16",
            "limit { resource.bus = 1 }",
            "batching { max = 8 }",
            "batching { delay = 1ms }",
            "batching { delay = auto }",
            "batching { preferred = [4] }",
            "queue { levels = 2 }",
            "instances = 2",
        ],
    )
    def test_a_member_that_has_its_own_ways_is_in_no_set(self, keys: str) -> None:
        assert nodes(planned(DIAMOND, f"  c {{ {keys} }}")) == [["p.h", "p.u"]]

    def test_the_first_may_wait_and_limit_batches(self) -> None:
        (fused,) = planned(DIAMOND, "  a { batching { max = 12, delay = 1ms } }").fused
        assert fused.stage.batching.max_rows == 12
        assert fused.stage.batching.delay_ns == 1_000_000
        assert fused.graphs == (1, 2, 4, 8, 16)

    def test_a_stage_with_two_calls_is_in_no_set(self) -> None:
        text = "pipeline p(x: f32[*, 4]) -> (y: f32[*, 4]) {\n  h = a(x)\n  u = c(h)\n  return y = c(u)\n}\n"
        assert nodes(planned(text)) == []

    def test_ports_that_are_not_dense_part_sets(self) -> None:
        text = "pipeline p(x: string[*]) -> (y: f32[*, 4]) {\n  h = t(x)\n  u = a(h)\n  return y = c(u)\n}\n"
        assert nodes(planned(text)) == [["p.u", "p.y"]]

    def test_without_rows(self) -> None:
        text = "pipeline p(x: f32[4]) -> (y: f32[4]) {\n  h = w(x)\n  return y = v(h)\n}\n"
        text += 'stage v like w using torch("v.pt2")\n'
        (fused,) = planned(text).fused
        assert fused.binding == "each"
        assert fused.graphs == (1,)

    def test_sizes_of_run_time_are_never_captured(self) -> None:
        text = "pipeline p(x: f32[*, N]) -> (y: f32[*, N]) {\n  h = e(x)\n  return y = f(h)\n}\n"
        text += 'stage f like e using torch("f.pt2")\n'
        (fused,) = planned(text).fused
        assert fused.graphs == ()

    def test_regions_have_sets_of_their_own_but_shadows_have_none(self) -> None:
        text = """pipeline p(x: f32[*, 4], way: bool) -> (y: f32[*, 4]) {
  y = if way {
    h = a(x)
    yield c(h)
  } else {
    yield x
  }
  return y
}
"""
        (found,) = nodes(planned(text))
        assert found[0] == "p.h"
        assert len(found) == 2
        text = """pipeline p(x: f32[*, 4]) -> (y: f32[*, 4]) {
  y = route {
    to one weight 100% {
      yield x
    }
    shadow two sample 5% {
      h = a(x)
      yield c(h)
    }
  }
  return y
}
"""
        assert nodes(planned(text)) == []


def slot_of(output: Any) -> int:
    index: int = output.source.index
    return index


class TestSettings:
    def test_names_bound_a_set(self) -> None:
        plan = planned(DIAMOND, "  a { fuse = [b] }")
        assert nodes(plan) == [["p.h", "p.u"]]
        assert said(plan)[0].startswith(
            "p.h runs as one with `p.u`; graphs of 1, 2, 4, 8, 16, 32, 64 rows where they pay"
        )

    def test_a_wish_that_can_not_be_granted_says_why(self) -> None:
        plan = planned(DIAMOND, "  a { fuse = [b, c] }\n  c { device = cpu }")
        assert said(plan)[1:] == ["p.h does not run as one with `c`: `c` is on the host"]
        plan = planned(DIAMOND, "  a { fuse = [b, c] }\n  c { sms = 16 }")
        why = "`c` is kept to some multiprocessors (`sms`), which no captured graph is known to keep"
        assert said(plan)[1:] == [f"p.h does not run as one with `c`: {why}"]
        plan = planned(DIAMOND, "  a { fuse = [c] }\n  c { batching { max = 2 } }")
        assert said(plan) == [
            "p.h does not run as one with `c`: they are not entered with the same values, or take other batches"
        ]

    @pytest.mark.parametrize(
        ("keys", "graphs", "ahead"),
        [
            ("graphs = off", (), False),
            ("graphs = [8, 1]", (1, 8), True),
            ("graphs = [8, 1, 200]", (1, 8), True),
        ],
    )
    def test_graphs(self, keys: str, graphs: tuple[int, ...], ahead: bool) -> None:
        (fused,) = planned(DIAMOND, f"  a {{ {keys} }}").fused
        assert (fused.graphs, fused.ahead) == (graphs, ahead)

    def test_one_member_that_is_not_to_be_captured_is_enough(self) -> None:
        (fused,) = planned(DIAMOND, "  d { graphs = off }\n  a { graphs = [4] }").fused
        assert fused.graphs == ()

    def test_plans_tell(self) -> None:
        plan = planned(DIAMOND, "  a { graphs = [1, 8] }")
        line = "runs as one with `p.u`, `p.v`, `p.y`; graphs of 1, 8 rows are captured before it is ready"
        assert f"run   p.h  {line}" in plan_text(plan)
        assert line in plan_html(plan)


def test_a_set_is_a_value() -> None:
    plan = planned(DIAMOND)
    assert plan.fused == planned(DIAMOND).fused
    assert isinstance(hash(plan.fused[0].members), int)
    assert isinstance(plan.fused[0], FusedPlan)
