"""Did you mean."""

from __future__ import annotations

import pytest

from pipeline_dsl.spell import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "candidates", "wanted"),
    [
        ("encodr", ["pool", "encoder"], "encoder"),
        ("ids", ["attention_mask", "input_ids"], "input_ids"),
        ("max_delay", ["max", "delay", "order"], "delay"),
        ("Encoder", ["encoder"], "encoder"),
        ("maskk", ["mask", "masks"], "mask"),
        ("tiemout", ["timeout"], "timeout"),
        ("zzz", ["max", "delay"], None),
        ("x", ["y", "z"], None),
        ("ab", ["xy"], None),
        ("mask", ["mask"], None),
        ("", ["a"], None),
        ("a", [], None),
    ],
)
def test_nearest(name: str, candidates: list[str], wanted: str | None) -> None:
    assert nearest(name, candidates) == wanted


def test_ready_label() -> None:
    assert did_you_mean("encodr", ["encoder"]) == "did you mean `encoder`?"
    assert did_you_mean("zzz", ["encoder"]) == ""
