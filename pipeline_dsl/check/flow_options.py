"""`with (timeout = 50ms, priority = 1)` at a call: what the request's run must keep at that place."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_dsl.errors.settings import UnknownSetting, WrongSetting

from .arguments import Given
from .body import Body
from .regions import Value

OPTIONS = ("timeout", "priority")


def call_options(body: Body, options: Sequence[Given]) -> dict[str, int] | None:
    """`with (timeout = 50ms, priority = 1)` as nanoseconds and a level."""
    found: dict[str, int] = {}
    good = True
    for given in options:
        value = _option(body, given)
        if value is None or given.argument.name is None:
            good = False
        else:
            found[given.argument.name.text] = value
    return found if good else None


def _option(body: Body, given: Given) -> int | None:
    name = given.argument.name
    if name is None or name.text not in OPTIONS:
        shown = name.text if name is not None else given.span.text
        body.report(UnknownSetting(name.span if name else given.span, shown, "`with`", OPTIONS))
        return None
    if given.outcome is None:
        body.failed = True
        return None
    typed = given.outcome.typed if isinstance(given.outcome, Value) else None
    needs, advice = (
        ("a duration above 0", "`50ms`") if name.text == "timeout" else ("a level: 1, 2, ..", "`1` is first")
    )
    if typed is None or not typed.known:
        body.report(WrongSetting(given.span, name.text, f"{needs}, known now", "a value of the run", advice))
        return None
    duration = typed.type.dtype.name == "duration"
    if duration != (name.text == "timeout") or not isinstance(typed.value, int) or typed.value < 1:
        body.report(WrongSetting(given.span, name.text, needs, given.span.text, advice))
        return None
    return typed.value
