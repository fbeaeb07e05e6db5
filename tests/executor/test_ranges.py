"""Ranges for profilers, with a fake of the package and with none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from executor.ranges import NOTHING, Ranges


class Domain:
    def __init__(self) -> None:
        self.log: list[object] = []

    def get_event_attributes(self, message: str) -> str:
        self.log.append(("made", message))
        return message

    def push_range(self, attributes: str) -> None:
        self.log.append(attributes)

    def pop_range(self) -> None:
        self.log.append(None)


class DummyDomain(Domain):
    pass


def test_a_range_is_made_once_and_ends_whatever_happens():
    domain = Domain()
    ranges = Ranges(lambda: SimpleNamespace(get_domain=lambda name: domain))
    with ranges.of("search", "encode"), ranges.of("search", "rank"):
        pass
    with pytest.raises(KeyError), ranges.of("search", "encode"):
        raise KeyError
    made = [entry for entry in domain.log if isinstance(entry, tuple)]
    assert made == [("made", "search.encode"), ("made", "search.rank")]
    assert [e for e in domain.log if not isinstance(e, tuple)] == [
        "search.encode",
        "search.rank",
        None,
        None,
        "search.encode",
        None,
    ]


def missing() -> object:
    raise ImportError("No module named 'nvtx'")


@pytest.mark.parametrize("library", [missing, lambda: SimpleNamespace(get_domain=lambda name: DummyDomain())])
def test_nobody_who_listens_is_one_object_that_does_nothing(library):
    ranges = Ranges(library)
    assert ranges.of("search", "encode") is ranges.of("search", "rank") is NOTHING
    with ranges.of("search", "encode"), ranges.of("search", "encode"):
        pass
