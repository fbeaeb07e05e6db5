"""The door of a sequence pipeline by itself: turns, seats, idle time, ends that come late or never."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import InvalidArgument, Overloaded
from executor.sequence import Seat, Seats, SequenceInfo, rows_of
from executor.sequence_door import REMEMBERED, SequenceDoor
from pipeline_dsl.plan import AdmissionPolicy

SECOND = 1_000_000_000


@dataclass(eq=False)
class Asked:
    """A request, as far as the door looks at it."""

    sequence: SequenceInfo
    id: str = "r"
    nbytes: int = 1
    caller: str = ""
    seats: Any = None

    def __repr__(self) -> str:
        return f"{self.sequence.id}{'<' * self.sequence.start}{'>' * self.sequence.end}"


@dataclass
class Scene:
    """A door in front of stage `s` with `slots` places, and a clock that stands still."""

    slots: int = 2
    max_inflight: int = 0
    queue_max: int = 8
    now: int = 0
    woken: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seats = Seats("s", 1, self.slots)
        self.door = self.another("p")

    def another(self, name: str, places: dict[str, Seats] | None = None) -> SequenceDoor:
        policy = AdmissionPolicy(max_inflight=self.max_inflight, queue_max=self.queue_max)
        given = {f"{name}.s": self.seats} if places is None else places
        door = SequenceDoor(name, policy, given, 30 * SECOND, lambda: self.now)
        door.wake = self.woken.append
        return door

    def ask(self, id: int | str, flags: str = "") -> tuple[Asked, bool]:
        """A request, and whether it entered: `<` begins its sequence, `>` ends it."""
        request = Asked(SequenceInfo(id, "<" in flags, ">" in flags))
        return request, self.door.admit(request)  # type: ignore[arg-type]  # as far as the door looks

    def inside(self, id: int | str, flags: str = "") -> Asked:
        request, entered = self.ask(id, flags)
        assert entered
        return request

    def waits(self, id: int | str, flags: str = "") -> Asked:
        request, entered = self.ask(id, flags)
        assert not entered
        return request

    def end(self, request: Asked, answered: bool = True) -> list[Any]:
        """It ends; those that enter in its place."""
        return list(self.door.finish(request, answered))  # type: ignore[arg-type]  # as far as the door looks

    def refused(self) -> list[tuple[Any, str]]:
        found, self.door.refused = self.door.refused, []
        return [(r, e.message) for r, e in found]


def test_requests_of_one_sequence_come_one_after_the_other() -> None:
    s = Scene()
    first = s.inside(7, "<")
    second, third = s.waits(7), s.waits(7, ">")
    assert s.end(first) == [second]
    assert s.end(second) == [third]
    assert s.end(third) == []
    assert s.seats.free == 2
    assert not s.door.sequences
    assert not len(s.door)


def test_sequences_do_not_wait_for_each_other() -> None:
    s = Scene()
    s.inside(1, "<")
    s.inside("a", "<")
    s.waits(1)


def test_sequences_without_a_place_wait_in_order_until_one_ends() -> None:
    s = Scene(slots=1)
    first = s.inside(1, "<")
    second, third = s.waits(2, "<>"), s.waits(3, "<")
    assert s.end(first) == []  # it goes on
    assert s.end(s.inside(1, ">")) == [second]
    assert s.end(second) == [third]


def test_a_running_sequence_goes_before_those_that_wait_for_a_place() -> None:
    s = Scene(slots=1, max_inflight=1)
    first = s.inside(1, "<")
    s.waits(2, "<")
    following = s.waits(1)
    assert s.end(first) == [following]


def test_the_line_is_bounded() -> None:
    s = Scene(slots=1, queue_max=1)
    s.inside(1, "<")
    s.waits(2, "<")
    with pytest.raises(Overloaded, match=r"queue\.max = 1"):
        s.ask(3, "<")
    with pytest.raises(Overloaded):
        s.ask(1)
    assert 3 not in s.door.sequences


def test_a_sequence_takes_all_its_seats_or_none() -> None:
    s = Scene(slots=1)
    other = Seats("t", 1, 1)
    s.door = s.another("p", {"p.s": s.seats, "p.t": other})
    taken = other.take()
    waiting = s.waits(1, "<")
    assert s.seats.free == 1
    other.release(taken)
    assert s.end(s.waits(2, "<>"), answered=False) == [waiting]
    assert s.seats.free == other.free == 0


def test_two_call_sites_of_a_stage_have_a_seat_each() -> None:
    s = Scene(slots=2)
    s.door = s.another("p", {"p.a": s.seats, "p.b": s.seats})
    request = s.inside(1, "<")
    assert request.seats["p.a"] is not request.seats["p.b"]
    assert s.seats.free == 0
    s.waits(2, "<")


def test_pipelines_that_share_a_stage_let_each_other_in() -> None:
    s = Scene(slots=1)
    other = s.another("q")
    s.door.rivals, other.rivals = [other], [s.door]
    held = s.inside(1, "<>")
    waiting: Any = Asked(SequenceInfo(1, start=True))
    assert not other.admit(waiting)
    assert s.end(held) == [waiting]


# ---- what is not in order


@pytest.mark.parametrize("flags", ["", ">"])
def test_a_sequence_that_was_not_started_is_refused(flags: str) -> None:
    with pytest.raises(InvalidArgument, match=r"there is no sequence 7; the first request of a sequence says `start`"):
        Scene().ask(7, flags)


def test_a_request_after_the_end_is_told_so() -> None:
    s = Scene()
    s.end(s.inside(7, "<>"))
    with pytest.raises(InvalidArgument, match="sequence 7 is over: it was ended"):
        s.ask(7)
    s.inside(7, "<")


def test_requests_that_waited_behind_the_end_are_refused_and_a_start_behind_it_is_not() -> None:
    s = Scene()
    first = s.inside(7, "<>")
    late, again, following = s.waits(7), s.waits(7, "<"), s.waits(7)
    assert s.end(first) == [again]
    assert s.refused() == [(late, "sequence 7 is over: it was ended; the first request of a sequence says `start`")]
    assert s.end(again) == [following]
    assert s.end(late, answered=False) == []  # the engine ends it; nothing is left to do


def test_a_start_while_the_sequence_runs_begins_it_anew_on_its_seat() -> None:
    s = Scene()
    first = s.inside(7, "<")
    again = s.waits(7, "<")
    assert s.end(first) == [again]
    assert again.seats["p.s"] is first.seats["p.s"]
    assert s.seats.free == 1


def test_a_start_that_fails_started_nothing() -> None:
    s = Scene(slots=1)
    first = s.inside(7, "<")
    following = s.waits(7)
    assert s.end(first, answered=False) == []
    assert [r for r, _ in s.refused()] == [following]
    assert "its first request failed" in str(s.door._refusal(following))  # type: ignore[arg-type]  # a stand-in
    assert s.seats.free == 1
    assert not s.door.sequences


def test_an_end_that_fails_ends_nothing() -> None:
    s = Scene()
    s.end(s.inside(7, "<"))
    s.end(s.inside(7, ">"), answered=False)
    s.end(s.inside(7))
    assert s.door.open == 1


def test_a_start_that_gave_up_in_line_takes_its_followers_along() -> None:
    s = Scene(slots=1)
    s.inside(1, "<")
    start, following = s.waits(2, "<"), s.waits(2)
    assert s.end(start, answered=False) == []
    assert [r for r, _ in s.refused()] == [following]
    assert 2 not in s.door.sequences


def test_one_that_gave_up_in_the_middle_of_the_line_leaves_the_others() -> None:
    s = Scene()
    first = s.inside(7, "<")
    second, third = s.waits(7), s.waits(7)
    assert s.end(second, answered=False) == []
    assert s.end(first) == [third]


def test_what_was_lost_ends_the_sequence_after_the_request_that_found_out() -> None:
    s = Scene()
    first = s.inside(7, "<")
    following = s.waits(7)
    first.seats["p.s"].lost = "the process died"
    s.end(first, answered=False)
    assert [r for r, _ in s.refused()] == [following]
    with pytest.raises(InvalidArgument, match="over: the process died"):
        s.ask(7)


def test_what_is_remembered_of_sequences_that_are_over_is_bounded() -> None:
    s = Scene()
    for id in range(1, REMEMBERED + 10):
        s.end(s.inside(id, "<>"))
    assert len(s.door._over) == REMEMBERED


# ---- idle


def test_a_sequence_that_sends_nothing_is_over() -> None:
    s = Scene(slots=1)
    s.end(s.inside(7, "<"))
    waiting = s.waits(8, "<")
    assert s.woken == [30 * SECOND]
    s.now = 30 * SECOND
    assert s.door.expire() == [waiting]
    with pytest.raises(InvalidArgument, match=r"sequence 7 is over: it sent nothing for 30s"):
        s.ask(7)


def test_time_counts_from_the_end_of_the_last_request() -> None:
    s = Scene()
    s.end(s.inside(7, "<"))
    s.now = 20 * SECOND
    running = s.inside(7)
    s.now = 40 * SECOND
    assert s.door.expire() == []  # it runs
    s.end(running)
    assert s.woken == [30 * SECOND, 70 * SECOND]
    s.now = 69 * SECOND
    s.door.expire()
    assert s.door.open == 1


def test_the_door_asks_to_be_woken_for_the_next_one() -> None:
    s = Scene()
    s.end(s.inside(1, "<"))
    s.now = SECOND
    s.end(s.inside(2, "<"))
    s.now = 30 * SECOND
    s.door.expire()
    assert list(s.door.sequences) == [2]
    assert s.woken == [30 * SECOND, 31 * SECOND]


# ---- seats


def test_seats_go_to_the_instance_with_most_room_lowest_number_first() -> None:
    seats = Seats("s", 2, 2)
    taken = [seats.take() for _ in range(4)]
    assert [(t.instance, t.index) for t in taken] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    seats.release(taken[2]), seats.release(taken[0])
    assert (seats.take().index, seats.taken(0), seats.free, seats.total) == (0, 1, 1, 4)


def test_direct_rows_are_those_of_the_seats_and_oldest_rows_are_dense() -> None:
    seats = [Seat(0, 3), Seat(0, 1)]
    assert rows_of(seats, direct=True) == [3, 1]
    assert rows_of(seats, direct=False) == [0, 1]


@pytest.mark.parametrize(
    ("id", "why"),
    [
        (0, "not from 1"),
        (-1, "not from 1"),
        (2**64, "not from 1"),
        ("", "1 to 128"),
        ("x" * 129, "129"),
        (True, "bool"),
        (1.5, "float"),
    ],
)
def test_ids_that_no_sequence_has(id: Any, why: str) -> None:
    with pytest.raises(Exception, match=why):
        SequenceInfo(id).check()


# ---- anything that can happen

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 4), st.sampled_from(["", "<", ">", "<>"])),
        st.tuples(st.just("end"), st.integers(0, 20), st.booleans()),
        st.tuples(st.just("lose"), st.integers(0, 20), st.just(False)),
        st.tuples(st.just("rest"), st.integers(1, 40), st.just(False)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 3), st.integers(0, 2))
def test_no_request_is_lost_and_no_seat_is_taken_twice(steps: list[Any], slots: int, inflight: int) -> None:
    s = Scene(slots=slots, max_inflight=inflight, queue_max=5)
    inside: dict[Asked, None] = {}
    waiting: dict[Asked, None] = {}

    def entered(requests: list[Any]) -> None:
        for request in requests:
            del waiting[request]
            inside[request] = None
        for request, error in s.door.refused:
            assert isinstance(error, InvalidArgument)
            assert not cast(Any, request).sequence.start, "it begins a sequence whatever was before it"
            del waiting[cast(Any, request)]
        s.door.refused = []

    def one_of(number: int) -> Asked | None:
        there = [*inside, *waiting]
        return there[number % len(there)] if there else None

    def finish(request: Asked, answered: bool) -> None:
        answered = answered and request in inside
        (inside if request in inside else waiting).pop(request)
        entered(s.end(request, answered))

    for what, number, more in steps:
        if what == "ask":
            try:
                request, at_once = s.ask(number, cast(str, more))
                (inside if at_once else waiting)[request] = None
            except (InvalidArgument, Overloaded):
                pass
        elif what == "rest":
            s.now += number * SECOND
            entered(cast(Any, s.door.expire()))
        elif (chosen := one_of(number)) is not None:
            if what == "lose" and chosen.seats:
                chosen.seats["p.s"].lost = "gone"
            finish(chosen, bool(more))
        consistent(s, inside, waiting)
    while (left := one_of(0)) is not None:
        finish(left, True)
        consistent(s, inside, waiting)
    s.now += 100 * SECOND
    assert s.door.expire() == []
    assert (s.seats.free, s.door.sequences, len(s.door)) == (slots, {}, 0)


def consistent(s: Scene, inside: dict[Asked, None], waiting: dict[Asked, None]) -> None:
    """What must hold after every step."""
    ids = [r.sequence.id for r in inside]
    assert len(ids) == len(set(ids)), "two requests of one sequence run"
    assert s.door.inside == set(cast(Any, inside))
    assert set(s.door.line) == set(cast(Any, waiting))
    seats = [seat.index for q in s.door.sequences.values() for seat in (q.seats or {}).values()]
    assert len(seats) == len(set(seats))
    assert s.seats.free + len(seats) == s.seats.total
    if s.max_inflight:
        assert len(inside) <= s.max_inflight
    if not inside and not waiting:
        assert s.door.problems() == []
    stuck = [r for r in waiting if r.sequence.id not in ids]
    assert not stuck or s.seats.free == 0 or (s.max_inflight and len(inside) == s.max_inflight)
