"""What all constructs have in common: targets, arms with names of their own, `yield`, and the results.

    construct = Construct.of(body, assign, control, inside)
    then = construct.arm("then", control.body)          # typed, whatever is wrong in it
    construct.results(then, other)                      # one type for what the arms yield

`inside` types a statement of an arm; it comes as a value, because statements hold constructs again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.control import NoYield, YieldCount, YieldName, YieldNotLast
from pipeline_dsl.operations import Typed
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .body import Body
from .flow_calls import single
from .flow_exprs import outcome_of
from .joined import Joining, joined
from .regions import Outcome, Region, Value, Variable

Inside = Callable[[Body, syntax.Statement], None]


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm after typing."""

    name: str
    body: Body
    given: tuple[ir.Given, ...]
    yields: tuple[Value | None, ...] | None
    """One for each target it gives a value to; None after reporting that it does not."""
    spans: tuple[Span, ...]

    def region(self, kinds: Sequence[TensorType]) -> ir.Region:
        """The arm as a region whose yields have these types."""
        assert self.yields is not None
        operands = tuple(_operand(self.body, value, kind) for value, kind in zip(self.yields, kinds, strict=True))
        return ir.Region(self.name, self.given, tuple(self.body.nodes), operands)


def _operand(body: Body, value: Value | None, kind: TensorType) -> ir.Operand:
    assert value is not None
    return ir.Constant(value.typed.value, kind) if value.typed.known else body.operand(value)


@dataclass(frozen=True, slots=True)
class Construct:
    """One construct of a body."""

    body: Body
    word: str
    span: Span
    """Of its word."""
    node: str
    """Its id: the first target that is not `_`, else a number."""
    targets: tuple[syntax.Target, ...]
    inside: Inside

    @staticmethod
    def of(body: Body, name: str | None, assign: syntax.Assign, control: syntax.Control, inside: Inside) -> Construct:
        """name: of its node, if it has one."""
        word = type(control).__name__.lower()
        return Construct(body, word, word_span(control, word), body.ids.of(name, word), assign.targets, inside)

    def nested(self, region: str, control: syntax.If) -> Construct:
        """An `else if`: it stands in the `else` arm, and gives the same results."""
        return Construct(self.body, "if", word_span(control, "if"), f"{self.node}.{region}", self.targets, self.inside)

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of its results: of the targets, `_1`, `_2` for `_`."""
        found: list[str] = []
        for target in self.targets:
            blank = sum(name.startswith("_") and name[1:].isdecimal() for name in found)
            found.append(target.name.text if target.name.text != "_" else f"_{blank + 1}")
        return tuple(found)

    def called(self, arm: str) -> str:
        """An arm in messages."""
        return f"the body of `{self.word}`" if arm == "body" else f"the arm `{arm}` of `{self.word}`"

    # ---- arms

    def enter(self, name: str, written: syntax.Body, *, items: bool = False) -> Body:
        """The body of an arm, with the names that its statements will define."""
        region = Region(outer=self.body.region)
        for statement in written.statements:
            if isinstance(statement, syntax.Assign):
                for target in statement.targets:
                    region.later.setdefault(target.name.text, target.name.span)
        return self.body.enter(f"{self.node}.{name}", region, items=items)

    def give(self, body: Body, name: syntax.Ident, kind: str, value: TensorType | None) -> ir.Given | None:
        """A value that an arm is entered with, under a name; None if its type is not known."""
        body.region.variables[name.text] = Variable(None, name.span, kind)
        if value is None:
            return None
        given = ir.Given(id=body.ids.of(name.text, kind), span=name.span, type=value)
        outcome = Value(Typed(value), ir.Ref(given.id, "value"), name.span, name.text)
        body.region.variables[name.text] = Variable(outcome, name.span, kind)
        return given

    def arm(
        self,
        name: str,
        written: syntax.Body,
        body: Body | None = None,
        given: Sequence[ir.Given | None] = (),
        extra: str = "",
    ) -> Arm:
        """Types an arm. body, given: where it has been entered already. extra: a target that it does not yield."""
        count = len(self.targets) - bool(extra)
        return self._arm(name, written, body or self.enter(name, written), given, count, extra)

    def shadow(self, name: str, written: syntax.Body) -> Arm:
        """Types an arm whose results nobody sees: it may yield anything, or nothing."""
        return self._arm(name, written, self.enter(name, written), (), None, "")

    def _arm(
        self,
        name: str,
        written: syntax.Body,
        body: Body,
        given: Sequence[ir.Given | None],
        count: int | None,
        extra: str,
    ) -> Arm:
        statement = self._statements(body, written)
        outs: list[tuple[syntax.Out, Value | None]] | None = None
        if statement is not None:
            values = _outcomes(body, statement)
            outs = self._in_order(body, statement.outs, values, name, count, extra)
        elif count is None:
            outs = []
        else:
            body.report(NoYield(_end(written), self.called(name), self.ports))
        self.body.failed = self.body.failed or body.failed
        entered = tuple(one for one in given if one is not None)
        if outs is None:
            return Arm(name, body, entered, None, ())
        return Arm(name, body, entered, tuple(v for _, v in outs), tuple(out.value.span for out, _ in outs))

    def _statements(self, body: Body, written: syntax.Body) -> syntax.Yield | None:
        """Types all statements but the `yield`, which is given back."""
        found: syntax.Yield | None = None
        for at, statement in enumerate(written.statements):
            if not isinstance(statement, syntax.Yield):
                self.inside(body, statement)
            elif found is not None:
                _outcomes(body, statement)
            else:
                found = statement
                if at + 1 < len(written.statements):
                    body.report(YieldNotLast(statement.span, written.statements[at + 1].span))
        return found

    def _in_order(
        self,
        body: Body,
        outs: Sequence[syntax.Out],
        values: Sequence[Value | None],
        name: str,
        count: int | None,
        extra: str,
    ) -> list[tuple[syntax.Out, Value | None]] | None:
        """What is yielded for each target; None after reporting that it does not fit them."""
        pairs = list(zip(outs, values, strict=True))
        if count is None:
            return pairs
        if len(outs) != count:
            left = self.targets[0].span.to(self.targets[-1].span)
            span = outs[0].span.to(outs[-1].span)
            body.report(YieldCount(span, self.called(name), len(outs), count, left, extra))
            return None
        if not any(out.name is not None for out in outs):
            return pairs
        return self._by_name(body, pairs, self.ports[:count])

    def _by_name(
        self, body: Body, pairs: list[tuple[syntax.Out, Value | None]], ports: tuple[str, ...]
    ) -> list[tuple[syntax.Out, Value | None]] | None:
        found: dict[str, tuple[syntax.Out, Value | None]] = {}
        for out, value in pairs:
            name = out.name.text if out.name is not None else ""
            if not name:
                body.report(YieldName(out.span, "some values have a name here, and this one has none", "", ports))
            elif name not in ports:
                body.report(YieldName(out.span, f"nothing on the left is called `{name}`", name, ports))
            elif name in found:
                body.report(YieldName(out.span, f"`{name}` is yielded twice", "", ports))
            else:
                found[name] = (out, value)
        return [found[port] for port in ports] if len(found) == len(ports) else None

    # ---- results

    def joined(self, arms: Sequence[Arm]) -> list[TensorType] | None:
        """The type of each result, from what the arms yield; None after reporting, or if an arm has mistakes."""
        if any(arm.yields is None or arm.body.failed or None in arm.yields for arm in arms):
            self.body.failed = True
            return None
        origin = self.body.origin(self.ports[0], self.targets[0].span, self.node)
        joining = Joining(self.body, self.word, origin)
        kinds: list[TensorType] = []
        for at, port in enumerate(self.ports[: len(arms[0].spans)]):
            yielded = [(arm, value, arm.spans[at]) for arm in arms if arm.yields and (value := arm.yields[at])]
            kind = joined(joining, port, [(value, span) for _, value, span in yielded])
            if kind is not None:
                kinds.append(kind)
        return kinds if len(kinds) == len(arms[0].spans) else None

    def outcomes(self, kinds: Sequence[TensorType] | None) -> list[Outcome]:
        """What the targets stand for."""
        if kinds is None:
            self.body.failed = True
            return [None] * len(self.targets)
        named = zip(self.ports, self.targets, kinds, strict=True)
        return [Value(Typed(kind), ir.Ref(self.node, port), target.span) for port, target, kind in named]


def word_span(control: syntax.Control, word: str) -> Span:
    """The word that a construct starts with."""
    return Span(control.span.source, control.span.start, control.span.start + len(word))


def _end(written: syntax.Body) -> Span:
    """The end of a body, where `yield` is missing."""
    span = written.span
    return Span(span.source, max(span.end - 1, span.start), span.end)


def _outcomes(body: Body, statement: syntax.Yield) -> list[Value | None]:
    """What is yielded, each as one value."""
    return [single(body, outcome_of(body, out.value), out.value.span) for out in statement.outs]
