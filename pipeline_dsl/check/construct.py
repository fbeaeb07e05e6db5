"""What all constructs have in common: targets, arms with names of their own, `yield`, and the results.

construct = Construct.of(body, assign, control, inside)
then = construct.arm("then", control.body)          # typed, whatever is wrong in it
construct.results(then, other)                      # one type for what the arms yield
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from pipeline_dsl import ir, syntax
from pipeline_dsl.operations import Problem, Typed, fit
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .body import Body, constant
from .joined import Joining, joined
from .regions import Outcome, Region, Value, Variable
from .yields import Inside, Wanted, Yielded, yielded


@dataclass(frozen=True, slots=True)
class Arm:
    """An arm after typing."""

    name: str
    body: Body
    given: tuple[ir.Given, ...]
    yields: tuple[Yielded, ...] | None
    """One for each target it gives a value to; None after reporting that it does not."""

    @property
    def is_good(self) -> bool:
        """Whether there is no mistake in it."""
        return self.yields is not None and not self.body.failed

    def region(self, kinds: Sequence[TensorType]) -> ir.Region:
        """The arm as a region whose yields have these types; those of a shadow are dropped."""
        assert self.yields is not None
        pairs = zip(self.yields, kinds, strict=False)
        operands = tuple(_operand(self.body, one.value, kind) for one, kind in pairs)
        return ir.Region(self.name, self.given, tuple(self.body.nodes), operands)


def _operand(body: Body, value: Value | None, kind: TensorType) -> ir.Operand:
    """A yielded value; one that is known, in the dtype of the result."""
    assert value is not None
    if not value.typed.known:
        return body.operand(value)
    if kind.stream:
        return body.operand(constant(Typed(kind, value.typed.value), value.span))
    fitted = fit(value.typed, TensorType(kind.dtype, value.type.dims, optional=kind.optional))
    assert not isinstance(fitted, Problem), "`joined` has looked at it"
    return ir.Constant(fitted.value, kind if fitted.value is None else fitted.type.required())


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
        """The names of its results: of the targets, and for each `_` a number, `_1`, `_2`."""
        named = {target.name.text for target in self.targets}
        blanks = (name for number in count(1) if (name := f"_{number}") not in named)
        return tuple(t.name.text if t.name.text != "_" else next(blanks) for t in self.targets)

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
        body.shared.facts.define(name.span, outcome)
        body.region.variables[name.text] = Variable(outcome, name.span, kind)
        return given

    def arm(
        self,
        name: str,
        written: syntax.Body,
        body: Body | None = None,
        given: Sequence[ir.Given | None] = (),
        extra: str = "",
        *,
        shadow: bool = False,
    ) -> Arm:
        """Types an arm. body, given: where it has been entered already. extra: the last target, if the arm does not
        yield it. shadow: nobody sees what it yields."""
        body = body or self.enter(name, written)
        ports = self.ports[:-1] if extra else self.ports
        left = self.targets[0].span.to(self.targets[-1].span)
        wanted = Wanted(self.called(name), ports, left, extra, shadow)
        values = yielded(body, written, wanted, self.inside)
        self.body.failed = self.body.failed or body.failed
        entered = tuple(one for one in given if one is not None)
        return Arm(name, body, entered, None if values is None else tuple(values))

    # ---- results

    def joined(self, arms: Sequence[Arm]) -> list[TensorType] | None:
        """The type of each result, from what the arms yield; None after reporting, or if an arm has mistakes."""
        if not all(arm.is_good for arm in arms):
            self.body.failed = True
            return None
        origin = self.body.origin(self.ports[0], self.targets[0].span, self.node)
        joining = Joining(self.body, self.word, origin)
        columns = zip(*(arm.yields or () for arm in arms), strict=True)
        kinds = [joined(joining, port, column) for port, column in zip(self.ports, columns, strict=False)]
        good = [kind for kind in kinds if kind is not None]
        return good if len(good) == len(kinds) else None

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
