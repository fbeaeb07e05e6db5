"""How remarks are told: each once, shared ones together."""

from __future__ import annotations

from pipectl.interop.remarks import COMMON, Remark, listed


def test_each_thing_has_its_remarks_once() -> None:
    remarks = [
        Remark("model `b`", "two"),
        Remark("model `a`", "one"),
        Remark("model `b`", "three"),
        Remark("model `b`", "two"),
    ]
    assert listed(remarks) == "model `a`\n  one\nmodel `b`\n  two\n  three\n"


def test_what_is_said_of_many_is_said_once() -> None:
    remarks = [Remark(f"model `{n}`", "the same") for n in range(COMMON)]
    assert listed([*remarks, Remark("model `0`", "more")]) == (
        f"{COMMON} models: the same\n  `0`, `1`, `2`, `3`\nmodel `0`\n  more\n"
    )


def test_nothing_to_say() -> None:
    assert listed([]) == ""
