"""Durations and sizes as text."""

from __future__ import annotations

import pytest

from pipeline_dsl.literals import duration
from pipeline_dsl.units import bytes_text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "0.001us"),
        (100_000, "100us"),
        (2_000_000, "2ms"),
        (1_500_000, "1500us"),
        (200_000_000, "200ms"),
        (30 * 10**9, "30s"),
        (90 * 10**9, "90s"),
        (120 * 10**9, "2min"),
        (3600 * 10**9, "1h"),
    ],
)
def test_durations_are_exact(ns: int, text: str) -> None:
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (602112, "588 KiB"), (9856614, "9.4 MiB"), (141 << 30, "141 GiB")],
)
def test_sizes_are_rounded(count: int, text: str) -> None:
    assert bytes_text(count) == text
