"""Stages with state on an engine with a manual clock: states, control values, batches, failures, ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from backends.base import BatchResult
from executor.errors import Cancelled, InvalidArgument, LoadError, StageFailed
from executor.sequence import SequenceInfo
from pipeline_dsl import ir
from pipeline_dsl.ir import SequenceRule, StateRule
from tests.pipeline_dsl.graphs import Build, stage, type_of

from .gates import answer, scene
from .plain import DELAY, Plain, running

NEVER = 10**18
SECOND = 1_000_000_000
VECTOR = "f32[2]"


def state(name: str = "total", type_: str = VECTOR, init: Any = "zeros") -> StateRule:
    return StateRule(name, type_of(type_), init)


def summing(name: str = "s", rows: bool = True, states: tuple[StateRule, ...] = (state(),), **rule: Any) -> ir.Stage:
    """x, total -> y = total + x, which is the new total"""
    kind = "f32[*, 2]" if rows else VECTOR
    rule = {"slots": 4, "idle_ns": NEVER, **rule}
    contract: dict[str, Any] = {"sequence": SequenceRule(**rule), "states": states}
    return stage(name, {"x": kind}, {"y": kind}, backend="plain", **contract)


def add(x: Any, total: Any) -> tuple[Any, ...]:
    return x + total, x + total


def one(called: ir.Stage, binding: ir.Binding = "lift", name: str = "p") -> Build:
    made = Build(name, sequence=True)
    made.output("out", made.call("s", called, made.input("x", VECTOR), binding=binding), VECTOR)
    return made


def pair(a: float) -> Any:
    return np.array([a, 2 * a], np.float32)


def ask(s: Plain, value: float, id: int | str = 7, flags: str = "", pipeline: str = "p", **options: Any) -> Any:
    """A request; `<` begins its sequence, `>` ends it."""
    info = SequenceInfo(id, "<" in flags, ">" in flags)
    return s.engine.submit(pipeline, {"x": pair(value)}, sequence=info, **options)


def out(s: Plain, *jobs: Any) -> list[float]:
    return [float(r["out"][0]) for r in s.answers(*jobs)]


def begin(s: Plain, *ids: int | str, value: float = 1) -> None:
    """Start sequences, one after the other."""
    for id in ids:
        s.answers(ask(s, value, id, "<"))


@pytest.fixture
def s() -> Iterator[Plain]:
    """`s` sums up, oldest first; every batch waits for company unless all sequences are there."""
    with running(one(summing(strategy="oldest")), {"s": add}) as made:
        yield made


# ---- states


def test_a_sequence_begins_with_the_initial_state_and_keeps_what_its_requests_make(s: Plain) -> None:
    assert out(s, ask(s, 1, flags="<")) == [1]
    assert out(s, ask(s, 2)) == [3]
    assert out(s, ask(s, 3, flags=">")) == [6]
    assert out(s, ask(s, 5, flags="<>")) == [5]


def test_sequences_share_batches_and_nothing_else(s: Plain) -> None:
    begin(s, 1, 2, 3)
    assert out(s, *(ask(s, v, id) for v, id in [(1, 1), (10, 2), (100, 3)])) == [2, 11, 101]
    assert out(s, *(ask(s, v, id, ">") for v, id in [(3, 3), (1, 1), (2, 2)])) == [104, 3, 13]
    assert s.rows("s") == [1, 1, 1, 3, 3]


def test_requests_of_one_sequence_never_share_a_batch_and_keep_their_order(s: Plain) -> None:
    jobs = [ask(s, 1, flags="<"), *(ask(s, v) for v in (2, 3)), ask(s, 4, flags=">")]
    assert out(s, *jobs) == [1, 3, 6, 10]
    assert s.rows("s") == [1, 1, 1, 1]


def test_a_stage_without_rows_runs_once_for_each_request() -> None:
    with running(one(summing(rows=False, strategy="oldest"), "each"), {"s": add}) as s:
        assert out(s, ask(s, 1, 1, "<"), ask(s, 10, 2, "<")) == [1, 10]
        assert out(s, ask(s, 2, 2, ">"), ask(s, 2, 1, ">")) == [12, 3]


@pytest.mark.parametrize(
    ("rule", "begins"),
    [
        (state(init=0.5), [0.5, 0.5]),
        (state(init=[1.0, 2.0]), [1.0, 2.0]),
        (state(type_="i64", init=3), 3),
        (state(type_="string", init="zeros"), "zeros"),
        (state(type_="bool", init="zeros"), False),
        (state(type_="json", init=None), None),
    ],
)
@pytest.mark.parametrize("rows", [True, False])
def test_what_a_sequence_begins_with(rule: StateRule, begins: Any, rows: bool) -> None:
    seen: list[Any] = []

    def look(x: Any, total: Any) -> tuple[Any, ...]:
        seen.append(total[0] if rows else total)
        return x, total

    with running(one(summing(rows=rows, states=(rule,)), "lift" if rows else "each"), {"s": look}) as s:
        s.answers(ask(s, 1, flags="<"))
        s.answers(ask(s, 1, flags=">"))
    assert [x.tolist() if isinstance(x, np.ndarray) else x for x in seen] == [begins, begins]


def test_a_state_may_grow_and_those_of_one_size_share_a_batch() -> None:
    def append(x: Any, seen: Any) -> tuple[Any, ...]:
        grown = np.concatenate([seen, x[:, None]], axis=1)
        return grown.sum(axis=1), grown

    with running(one(summing(strategy="oldest", states=(state("seen", "f32[N, 2]"),))), {"s": append}) as s:
        assert out(s, ask(s, 1, 1, "<"), ask(s, 2, 2, "<")) == [1, 2]
        assert out(s, ask(s, 1, 1)) == [2]
        assert out(s, ask(s, 1, 1, ">"), ask(s, 2, 2, ">")) == [3, 4]
        assert s.rows("s") == [1, 1, 1, 1, 1]  # at the end their states have two rows and one
        assert out(s, ask(s, 1, 1, "<"), ask(s, 2, 2, "<")) == [1, 2]
        assert out(s, ask(s, 1, 1, ">"), ask(s, 2, 2, ">")) == [2, 4]
        assert s.rows("s")[5:] == [1, 1, 2]


@pytest.mark.host
def test_what_is_kept_of_one_sequence_is_not_the_whole_batch(s: Plain) -> None:
    s.answers(*(ask(s, 1, id, "<") for id in (1, 2, 3)))
    s.answers(*(ask(s, 1, id) for id in (1, 2, 3)))
    assert s.rows("s")[-1] == 3
    door: Any = s.engine.doors["p"]
    kept = [seat.states[0] for q in door.sequences.values() for seat in q.seats.values()]
    assert [k.base for k in kept] == [None] * 3
    assert not any(k.flags.writeable for k in kept)
    s.answers(*(ask(s, 1, id, ">") for id in (1, 2, 3)))


# ---- what a stage is told


def told(rows: bool, **rule: Any) -> ir.Stage:
    names = {"start": "first", "end": "last", "ready": "there", "id": "who"}
    return summing(rows=rows, states=(), **{**names, **rule})


def listen(heard: list[Any]) -> Any:
    def fn(x: Any, *controls: Any) -> tuple[Any, ...]:
        heard.append([c.tolist() if isinstance(c, np.ndarray) else c for c in controls])
        return (x,)

    return fn


def test_control_values_of_a_stage_without_rows() -> None:
    heard: list[Any] = []
    with running(one(told(False), "each"), {"s": listen(heard)}) as s:
        for flags in ("<", "", ">"):
            s.answers(ask(s, 1, flags=flags))
    assert heard == [[True, False, True, "7"], [False, False, True, "7"], [False, True, True, "7"]]


def test_a_direct_sequence_keeps_its_row_and_the_others_are_not_ready() -> None:
    heard: list[Any] = []
    with running(one(told(True, strategy="direct")), {"s": listen(heard)}) as s:
        begin(s, "a", "b", "c")
        heard.clear()
        s.answers(ask(s, 9, "b", ">"))
        s.answers(ask(s, 1, "c", ">"), ask(s, 2, "a", ">"))
    no, yes = False, True
    assert heard[0] == [[no, no], [no, yes], [no, yes], ["", "b"]]
    assert heard[1] == [[no] * 3, [yes, no, yes], [yes, no, yes], ["a", "", "c"]]
    rows = [b.inputs[0][:, 0].tolist() for _, b in s.backend.batches]
    assert rows == [[1], [0, 1], [0, 0, 1], [0, 9], [2, 0, 1]]


def test_rows_that_are_not_ready_change_no_state_and_answer_nobody() -> None:
    with running(one(summing(strategy="direct")), {"s": add}) as s:
        begin(s, 1, 2)
        assert out(s, ask(s, 10, 2)) == [11]
        assert out(s, ask(s, 1, 1, ">"), ask(s, 10, 2, ">")) == [2, 21]
        assert s.rows("s") == [1, 2, 2, 2]


def test_control_values_go_to_declared_ports_in_their_dtype() -> None:
    heard: list[Any] = []
    rule = SequenceRule(start="first", id="who", slots=2, idle_ns=NEVER)
    called = stage(
        "s",
        {"first": "i32[*]", "x": "f32[*, 2]", "who": "u64[*]"},
        {"y": "f32[*, 2]"},
        backend="plain",
        sequence=rule,
    )
    made = Build(sequence=True)
    made.output("out", made.call("s", called, None, made.input("x", VECTOR), None, binding="lift"), VECTOR)

    def fn(first: Any, x: Any, who: Any) -> tuple[Any, ...]:
        heard.append((first.dtype.name, first.tolist(), who.dtype.name, who.tolist()))
        return (x,)

    with running(made, {"s": fn}) as s:
        s.answers(ask(s, 1, 2**64 - 1, "<>"))
        with pytest.raises(InvalidArgument, match=r"correlation id 'seven' does not fit port `who: u64\[\*\]`"):
            s.answers(ask(s, 1, "seven", "<"))
    assert heard == [("int32", [1], "uint64", [2**64 - 1])]


# ---- batches


def test_a_batch_goes_as_soon_as_every_sequence_is_in_it(s: Plain) -> None:
    begin(s, 1, 2)
    first = ask(s, 1, 1, ">")
    assert not first.done()  # it waits for the other one
    second = ask(s, 1, 2, ">")
    assert out(s, first, second) == [2, 2]
    assert s.rows("s") == [1, 1, 2]


def test_the_delay_ends_the_wait_for_the_others(s: Plain) -> None:
    begin(s, 1, 2)
    first = ask(s, 1, 1, ">")
    s.clock.advance(DELAY)
    assert float(answer(first)["out"][0]) == 2
    s.answers(ask(s, 1, 2, ">"))


def test_oldest_takes_as_many_as_a_batch_may_have() -> None:
    made = one(summing(strategy="oldest", slots=3))
    with running(made, {"s": add}, settings={"s": {"batching.max": 2}}) as s:
        begin(s, 1, 2, 3)
        assert out(s, *(ask(s, id, id, ">") for id in (1, 2, 3))) == [2, 3, 4]
        assert s.rows("s") == [1, 1, 1, 2, 1]


def test_a_sequence_stays_on_its_instance() -> None:
    made = one(summing(slots=2))
    with running(made, {"s": add}, settings={"s": {"instances": 2}}) as s:
        jobs = [ask(s, 1, id, "<") for id in (1, 2, 3, 4)]
        s.answers(*jobs)
        ran = {e.instance for r in s.answers(*jobs) for e in r.executions}
        assert ran == {0, 1}
        for _ in range(2):
            again = s.answers(*(ask(s, 1, id) for id in (1, 2, 3, 4)))
            assert [r.executions[0].instance for r in again] == [r.executions[0].instance for r in s.answers(*jobs)]
        assert out(s, *(ask(s, 1, id, ">") for id in (1, 2, 3, 4))) == [4] * 4


def test_sequences_without_a_place_wait_until_one_ends() -> None:
    with running(one(summing(slots=1)), {"s": add}) as s:
        s.answers(ask(s, 1, 1, "<"))
        waiting = ask(s, 5, 2, "<>")
        s.tick(5)
        assert not waiting.done()
        assert out(s, ask(s, 1, 1, ">"), waiting) == [2, 5]


def test_a_stage_that_can_hold_no_sequence_of_a_pipeline_does_not_load() -> None:
    made = Build(sequence=True)
    called = summing(slots=1)
    x = made.input("x", VECTOR)
    made.output("out", made.call("b", called, made.call("a", called, x, binding="lift"), binding="lift"), VECTOR)
    with (
        pytest.raises(LoadError, match=r"1 slots in all, and pipeline `p` calls it 2 times"),
        running(made, {"s": add}),
    ):
        pass


def test_two_call_sites_of_one_stage_keep_states_of_their_own() -> None:
    made = Build(sequence=True)
    called = summing(slots=2)
    x = made.input("x", VECTOR)
    made.output("out", made.call("b", called, made.call("a", called, x, binding="lift"), binding="lift"), VECTOR)
    with running(made, {"s": add}) as s:
        assert out(s, ask(s, 1, flags="<")) == [1]
        assert out(s, ask(s, 1, flags=">")) == [3]  # a: 2, b: 1 + 2


def test_pipelines_that_share_a_stage_have_sequences_of_their_own() -> None:
    called = summing(slots=2)
    with running(one(called), {"s": add}, one(called, name="q")) as s:
        s.answers(ask(s, 1, flags="<"), ask(s, 10, flags="<", pipeline="q"))
        assert out(s, ask(s, 1, flags=">"), ask(s, 10, flags=">", pipeline="q")) == [2, 20]


# ---- what is not in order


def test_a_pipeline_of_sequences_takes_nothing_else(s: Plain) -> None:
    with pytest.raises(InvalidArgument, match=r"p: it takes requests of sequences only: give the correlation id"):
        s.engine.submit("p", {"x": pair(1)})
    with pytest.raises(InvalidArgument, match="correlation id 0 is not from 1"):
        ask(s, 1, 0, "<")


def test_a_plain_pipeline_takes_no_sequences() -> None:
    with scene() as s, pytest.raises(InvalidArgument, match="it takes no sequences; the request says it belongs to 7"):
        s.send(1, sequence=SequenceInfo(7, start=True))


def test_what_comes_for_no_sequence_is_refused(s: Plain) -> None:
    for flags in ("", ">"):
        with pytest.raises(
            InvalidArgument, match="there is no sequence 7; the first request of a sequence says `start`"
        ):
            ask(s, 1, flags=flags)
    assert s.engine.stats().pipelines[0].failures == {"REJECTED": 2}


def test_start_while_it_runs_begins_anew(s: Plain) -> None:
    jobs = [ask(s, 1, flags="<"), ask(s, 2), ask(s, 10, flags="<"), ask(s, 1, flags=">")]
    assert out(s, *jobs) == [1, 3, 10, 11]


def test_a_sequence_that_sends_nothing_for_its_idle_time_is_over() -> None:
    with running(one(summing(idle_ns=30 * SECOND, slots=1)), {"s": add}) as s:
        answer(ask(s, 1, 1, "<"))
        s.clock.advance(29 * SECOND)
        answer(ask(s, 1, 1))
        waiting = ask(s, 5, 2, "<>")
        s.clock.advance(29 * SECOND)
        assert not waiting.done()
        s.clock.advance(SECOND)
        assert float(answer(waiting)["out"][0]) == 5
        for flags in ("", ">"):
            with pytest.raises(InvalidArgument, match="sequence 1 is over: it sent nothing for 30s"):
                ask(s, 1, 1, flags)
        assert float(answer(ask(s, 3, 1, "<>"))["out"][0]) == 3


def test_a_request_with_several_rows_is_refused() -> None:
    made = Build(sequence=True)
    made.output("out", made.call("s", summing(strategy="oldest"), made.input("x", "f32[B, 2]")), "f32[B, 2]")
    with running(made, {"s": add}) as s:
        good = s.engine.submit("p", {"x": pair(1)[None]}, sequence=SequenceInfo(1, start=True))
        bad = s.engine.submit("p", {"x": np.zeros((3, 2), np.float32)}, sequence=SequenceInfo(2, start=True))
        s.tick(3)
        with pytest.raises(
            InvalidArgument, match=r"stage `s` keeps state: a request brings it one row at a time, not 3"
        ):
            answer(bad)
        assert answer(good)["out"].tolist() == [[1, 2]]
        s.answers(s.engine.submit("p", {"x": pair(1)[None]}, sequence=SequenceInfo(1, end=True)))


# ---- failures


def picky(x: Any, total: Any) -> Any:
    """Fails the whole batch for 13, the one row for 14."""
    if (x[:, 0] == 13).any():
        raise ValueError("thirteen")
    failed = {i: ValueError("fourteen") for i, v in enumerate(x[:, 0]) if v == 14}
    return BatchResult((x + total, x + total), failed or None)


@pytest.mark.parametrize("bad", [13, 14])
@pytest.mark.parametrize("strategy", ["direct", "oldest"])
def test_a_request_that_fails_leaves_the_state_as_it_was(bad: float, strategy: str) -> None:
    with running(one(summing(strategy=strategy)), {"s": picky}) as s:
        s.answers(ask(s, 1, 1, "<"), ask(s, 10, 2, "<"))
        failing, good = ask(s, bad, 1), ask(s, 10, 2)
        assert out(s, good) == [20]
        with pytest.raises(StageFailed, match=r"thirteen|fourteen"):
            answer(failing)
        assert out(s, ask(s, 1, 1, ">"), ask(s, 10, 2, ">")) == [2, 30]


def test_a_start_that_fails_started_nothing() -> None:
    with running(one(summing()), {"s": picky}) as s:
        first, following = ask(s, 13, flags="<"), ask(s, 1)
        s.tick(2)
        with pytest.raises(StageFailed):
            answer(first)
        with pytest.raises(InvalidArgument, match="sequence 7 is over: its first request failed"):
            answer(following)


def test_what_an_earlier_stage_kept_is_undone_when_a_later_one_fails() -> None:
    made = Build(sequence=True)
    first = made.call("a", summing("a"), made.input("x", VECTOR), binding="lift")
    made.output("out", made.call("b", summing("b"), first, binding="lift"), VECTOR)
    with running(made, {"a": add, "b": picky}) as s:
        assert out(s, ask(s, 1, flags="<")) == [1]
        failing = ask(s, 12)  # a makes 13 of it
        s.finish(failing)
        with pytest.raises(StageFailed, match="thirteen"):
            answer(failing)
        assert out(s, ask(s, 1, flags=">")) == [3]  # a: 1 + 1, b: 1 + 2


def test_a_stage_that_keeps_its_own_is_not_run_again() -> None:
    calls: list[int] = []

    def own(x: Any) -> tuple[Any, ...]:
        calls.append(len(x))
        if x[0, 0] == 13:
            raise ValueError("no")
        return (x,)

    with running(one(summing(states=(), strategy="oldest")), {"s": own}) as s:
        begin(s, 1, 2)
        jobs = [ask(s, 13, id) for id in (1, 2)]
        s.finish(*jobs)
        assert calls == [1, 1, 2]
        for job in jobs:
            with pytest.raises(StageFailed):
                answer(job)


def test_a_cancelled_request_changes_nothing_and_the_next_one_goes_on(s: Plain) -> None:
    begin(s, 1, 2)
    waiting, following = ask(s, 100, 1), ask(s, 1, 1, ">")
    assert waiting.cancel()
    with pytest.raises(Cancelled):
        answer(waiting)
    assert out(s, following, ask(s, 1, 2, ">")) == [2, 2]


def test_one_that_is_cancelled_while_it_runs_changes_nothing() -> None:
    made = Build(sequence=True)
    rule = {"sequence": SequenceRule(idle_ns=NEVER), "states": (state("t", "f32[4]"),)}
    called = stage("s", {"x": "f32[*, 4]"}, {"y": "f32[*, 4]"}, backend="gate", **rule)
    made.output("out", made.call("s", called, made.input("x", "f32[4]"), binding="lift"), "f32[4]")
    with scene(made) as s:
        s.gate.react = lambda batch: BatchResult((batch.inputs[0] + batch.inputs[1],) * 2)
        x = np.ones(4, np.float32)
        s.gate.open()
        answer(s.engine.submit("p", {"x": x}, sequence=SequenceInfo(7, start=True)))
        s.gate.began()
        running_ = s.engine.submit("p", {"x": 100 * x}, sequence=SequenceInfo(7))
        s.gate.began()
        following = s.engine.submit("p", {"x": x}, sequence=SequenceInfo(7, end=True))
        running_.cancel()
        s.gate.open(2)
        assert answer(following)["out"].tolist() == [2] * 4


# ---- the end of the engine


def test_draining_lets_open_sequences_go_on_where_asked_to(s: Plain) -> None:
    s.answers(ask(s, 1, flags="<"))
    assert not s.engine.drain(0, sequences=True)
    with pytest.raises(Exception, match="draining"):
        ask(s, 1, 8, "<")
    assert out(s, ask(s, 1, flags=">")) == [2]
    assert s.engine.drain(0, sequences=True)


def test_draining_takes_nothing_more_otherwise(s: Plain) -> None:
    s.answers(ask(s, 1, flags="<"))
    assert s.engine.drain(1)
    with pytest.raises(Exception, match="draining"):
        ask(s, 1)
