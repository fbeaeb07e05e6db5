"""The batching decision as a table: what waits, the policy and the time, and what must come of it."""

from __future__ import annotations

from typing import Any

import pytest

from executor.batcher import NEVER, Entry, Group, Rhythm, Wait, auto_delay, decide
from pipeline_dsl.plan import AUTO, BatchPolicy

MS = 1_000_000


def entry(rows: int = 1, at: int = 0, key: Any = None, deadline: int = NEVER, late: bool = False) -> Entry:
    made = Entry(None, None, rows, key, 1, at, deadline)  # type: ignore[arg-type]  # a decision reads neither
    made.late = late
    return made


def choose(policy: BatchPolicy, now: int, *entries: Entry, rhythm: Rhythm | None = None, limit: int = 0) -> Any:
    """Rows of the chosen entries and the reason; or the time to look again; or None."""
    made = decide([list(entries)], policy, now, rhythm or Rhythm(), limit)
    if isinstance(made, Group):
        return [e.rows for e in made.entries], made.reason
    return made.until_ns if isinstance(made, Wait) else None


SOME = BatchPolicy(max_rows=8)
SLOW = BatchPolicy(max_rows=8, delay_ns=2 * MS)
LIKED = BatchPolicy(max_rows=8, delay_ns=2 * MS, preferred=(2, 4))

CASES: dict[str, tuple[Any, Any]] = {
    "nothing waits": (choose(SOME, 0), None),
    "no delay takes what is there": (choose(SOME, 0, entry(2), entry(3)), ([2, 3], "ready")),
    "no limit takes all": (choose(BatchPolicy(), 0, entry(900), entry(900)), ([900, 900], "ready")),
    "a cohort that does not fit is passed over": (choose(SOME, 0, entry(5), entry(4), entry(3)), ([5, 3], "full")),
    "a cohort above the limit goes alone": (choose(SOME, 0, entry(20), entry(1)), ([20], "full")),
    "keys do not mix": (choose(SOME, 0, entry(1, key="a"), entry(2, key="b"), entry(3, key="a")), ([1, 3], "ready")),
    "a delay waits from the oldest": (choose(SLOW, MS, entry(1, at=0), entry(1, at=MS)), 2 * MS),
    "a delay ends": (choose(SLOW, 2 * MS, entry(1, at=0)), ([1], "delay")),
    "a full batch does not wait": (choose(SLOW, 0, entry(4), entry(4)), ([4, 4], "full")),
    "a full key does not wait behind another": (
        choose(SLOW, 0, entry(1, key="a"), entry(8, key="b")),
        ([8], "full"),
    ),
    "the largest preferred size that is there": (choose(LIKED, 0, entry(2), entry(1), entry(2)), ([2, 1], "preferred")),
    "less than preferred waits": (choose(LIKED, 0, entry(1)), 2 * MS),
    "less than preferred goes in the end": (choose(LIKED, 2 * MS, entry(1)), ([1], "delay")),
    "the most urgent first": (choose(BatchPolicy(max_rows=1), 0, entry(1), entry(1, deadline=5)), ([1], "full")),
    "a deadline ends the wait": (choose(SLOW, 0, entry(1, deadline=MS)), MS),
    "at the deadline": (choose(SLOW, MS, entry(1, deadline=MS)), ([1], "deadline")),
    "the deadline less the time it takes": (
        choose(SLOW, 0, entry(1, deadline=MS), rhythm=Rhythm(service_ns=MS / 2)),
        MS // 2,
    ),
    "a lowered limit": (choose(SOME, 0, entry(1), entry(1), entry(1), limit=2), ([1, 1], "full")),
}


@pytest.mark.parametrize("name", CASES)
def test_decisions(name: str) -> None:
    found, expected = CASES[name]
    assert found == expected


def test_urgent_entries_come_before_older_ones() -> None:
    old, urgent = entry(at=0), entry(at=9, deadline=20)
    made = decide([[old, urgent]], BatchPolicy(max_rows=1), 10, Rhythm())
    assert isinstance(made, Group)
    assert made.entries == [urgent]


def test_late_entries_come_last() -> None:
    late, fresh = entry(at=0, late=True), entry(at=9)
    made = decide([[late, fresh]], BatchPolicy(max_rows=1), 10, Rhythm())
    assert isinstance(made, Group)
    assert made.entries == [fresh]


def test_level_one_is_served_first() -> None:
    first, second = entry(at=9), entry(at=0)
    made = decide([[first], [second]], BatchPolicy(), 10, Rhythm())
    assert isinstance(made, Group)
    assert made.entries == [first]


def test_a_lower_level_is_served_while_a_higher_one_waits_for_its_delay() -> None:
    made = decide([[entry(at=10)], [entry(at=0)]], BatchPolicy(delay_ns=5), 10, Rhythm())
    assert isinstance(made, Group)
    assert made.entries[0].arrived_ns == 0


@pytest.mark.parametrize(
    ("interval", "service", "entries", "waits"),
    [
        (0, 0, 1, False),  # nothing learnt yet
        (1 * MS, 10 * MS, 1, True),  # the next comes long before a batch would be over
        (20 * MS, 10 * MS, 1, False),  # it would come too late
        (1 * MS, 10 * MS, 40, False),  # too many would wait for one more
    ],
)
def test_auto_delay_waits_where_it_pays(interval: int, service: int, entries: int, waits: bool) -> None:
    assert (auto_delay(Rhythm(interval, service), entries) > 0) is waits


def test_auto_policy_uses_what_was_learnt() -> None:
    rhythm = Rhythm()
    for at in range(1, 20):
        rhythm.arrived(at * MS)
    rhythm.served(10 * MS)
    made = decide([[entry(at=19 * MS)]], BatchPolicy(delay_ns=AUTO), 19 * MS, rhythm)
    assert isinstance(made, Wait)
    assert 19 * MS < made.until_ns <= 29 * MS
