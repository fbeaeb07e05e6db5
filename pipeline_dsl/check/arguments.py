"""Which argument of a call goes to which port: E0401 to E0403.

Positional arguments take the ports in order, apart from those that a `ragged` rule fills. Pure but for what it
reports; values are looked at later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.calls import (
    FilledPort,
    MissingPorts,
    PortTwice,
    PositionalAfterNamed,
    TooManyArguments,
    UnknownPort,
)
from pipeline_dsl.source import Span

from .body import Body
from .regions import Outcome


@dataclass(frozen=True, slots=True)
class Given:
    """An argument as written, with what it stands for."""

    argument: syntax.Argument
    outcome: Outcome

    @property
    def span(self) -> Span:
        return self.argument.value.span


@dataclass(frozen=True, slots=True)
class Callee:
    """What is called: a stage or a pipeline."""

    shown: str
    """stage `encoder`"""
    name: str
    signature: ir.Signature
    filled: dict[str, str] = field(default_factory=dict)
    """Ports that the runtime fills, and the ragged dim that makes them."""
    unruled: frozenset[str] = frozenset()
    """Ragged dims it needs a rule for and has none."""
    backend: str = ""

    @property
    def ports(self) -> tuple[ir.Port, ...]:
        """Inputs that a caller gives."""
        return tuple(p for p in self.signature.inputs if p.name not in self.filled)

    @property
    def spelled(self) -> tuple[tuple[str, str], ...]:
        """Their names and types, for notes."""
        return tuple((p.name, str(p.type)) for p in self.ports)


def placed(body: Body, callee: Callee, given: Sequence[Given], call: Span) -> dict[str, Given] | None:
    """Arguments by port; None if any does not belong to a port, or a required port has none."""
    found = _Placing(body, callee)
    for at, one in enumerate(given):
        found.take(at, one)
    if found.excess:
        first, last = given[found.excess[0]], given[found.excess[-1]]
        count = sum(g.argument.name is None for g in given)
        body.report(TooManyArguments(first.span.to(last.span), callee.shown, count, callee.spelled))
    missing = tuple(
        p.name for p in callee.ports if p.name not in found.by_port and not p.has_default and not p.type.optional
    )
    if missing and not found.wrong and not found.excess:
        body.report(MissingPorts(call, callee.shown, missing, callee.spelled))
    return None if found.wrong or found.excess or missing else found.by_port


class _Placing:
    """One call's arguments, taken one after the other."""

    def __init__(self, body: Body, callee: Callee) -> None:
        self.body, self.callee = body, callee
        self.ports = callee.ports
        self.names = {p.name for p in self.ports}
        self.by_port: dict[str, Given] = {}
        self.named: Span | None = None
        self.excess: list[int] = []
        self.wrong = False

    def take(self, at: int, given: Given) -> None:
        name = given.argument.name
        if name is not None:
            self.named = self.named or given.argument.span
            self._named(name, given)
        elif self.named is not None:
            self._report(PositionalAfterNamed(given.span, self.named))
        elif at >= len(self.ports):
            self.excess.append(at)
        else:
            self.by_port[self.ports[at].name] = given

    def _named(self, name: syntax.Ident, given: Given) -> None:
        if name.text in self.callee.filled:
            by = self.callee.filled[name.text]
            self._report(FilledPort(given.argument.span, self.callee.name, name.text, by))
        elif name.text not in self.names:
            self._report(UnknownPort(name.span, self.callee.shown, name.text, self.callee.spelled))
        elif name.text in self.by_port:
            self._report(PortTwice(given.argument.span, name.text, self.by_port[name.text].argument.span))
        else:
            self.by_port[name.text] = given

    def _report(self, mistake: UnknownPort | PortTwice | FilledPort | PositionalAfterNamed) -> None:
        self.body.report(mistake)
        self.wrong = True
