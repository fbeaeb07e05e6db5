"""Options of a construct, `map (max = 100, order = keep)`, read by their closed table: E0104, E0603, E0604."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import syntax
from pipeline_dsl.errors.names import DuplicateName
from pipeline_dsl.errors.settings import UnknownSetting, WrongSetting
from pipeline_dsl.settings import KeySpec
from pipeline_dsl.source import Span

from .body import Body
from .setting_values import read_setting


@dataclass(frozen=True, slots=True)
class Options:
    """What is set, and where."""

    values: dict[str, Any]
    spans: dict[str, Span]
    """Of `name = value`."""

    def __getitem__(self, name: str) -> Any:
        """The value, or the default that the table gives."""
        return self.values[name]


def options_of(body: Body, word: str, given: Sequence[syntax.Argument], table: Sequence[KeySpec]) -> Options:
    """All options of a construct; those with mistakes are reported and stand as their defaults."""
    specs = {spec.name: spec for spec in table}
    found = Options({spec.name: spec.default for spec in table}, {})
    for option in given:
        name = option.name
        if name is None or name.text not in specs:
            shown = name.text if name is not None else option.span.text
            body.report(UnknownSetting(name.span if name else option.span, shown, f"`{word} (..)`", tuple(specs)))
        elif name.text in found.spans:
            body.report(DuplicateName(name.span, name.text, found.spans[name.text], "set"))
        else:
            found.spans[name.text] = option.span
            value = _read(body, specs[name.text], option)
            if value is not None:
                found.values[name.text] = value[0]
    return found


def _read(body: Body, spec: KeySpec, option: syntax.Argument) -> tuple[Any] | None:
    """The value in a tuple of one; None after reporting."""
    expr = option.value
    if isinstance(expr, syntax.Name) and expr.text not in spec.words:
        variable = body.region.find(expr.text)
        if variable is not None:
            variable.used = True
            needs, found = "a value that is known now", f"the variable `{expr.text}`"
            body.report(WrongSetting(expr.span, spec.name, needs, found, "write a number, a const or a param"))
            return None
    before = len(body.sink.found)
    value = read_setting(spec, spec.name, expr, body.scope, body.sink)
    body.failed = body.failed or value is None or len(body.sink.found) > before
    return value
