"""Mistakes in constructs: E0307, E0312 and E0313 of `map`, E0501 to E0508, W0502, W0603."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class ArmsDisagree(Mistake):
    """Arms that yield values of no common type."""

    code = "E0501"
    title = "arms disagree"
    word: str
    span: Span
    target: str
    found: str
    first: Span
    expected: str
    why: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"the arms of `{self.word}` disagree about `{self.target}`: {self.expected} and {self.found}{self.why}",
            label=self.found,
            labels=(Label(self.first, self.expected),),
            help=self.advice or "yield values of one type in all arms",
        )


@dataclass(frozen=True)
class NotOneValue(Mistake):
    """A condition, a subject or a key that is no single value of the element."""

    code = "E0502"
    title = "condition is not one value"
    span: Span
    what: str
    """`if`, `match`, `route by`"""
    needs: str
    """bool"""
    element: str
    """request, item"""
    found: str
    has_dims: bool
    rows: bool = False

    def diagnostic(self) -> Diagnostic:
        label = f"{self.found}: one value per row" if self.has_dims else self.found
        help_ = "decide per row: call the construct inside `map x in xs { .. }`, where each row is an item"
        if not self.has_dims:
            help_ = f"compare it, as in `x > 0`, or let a stage give {self.needs}"
        return self.at(
            self.span,
            f"`{self.what}` needs one {self.needs} per {self.element}, found {self.found}",
            label=label,
            help=help_,
        )


@dataclass(frozen=True)
class NotExhaustive(Mistake):
    """`match` without `else` that leaves values out."""

    code = "E0503"
    title = "`match` leaves values out or has one twice"
    span: Span
    subject: str
    missing: str = ""
    """The one value that is left out, where it is one."""

    def diagnostic(self) -> Diagnostic:
        what = f"nothing matches `{self.missing}`" if self.missing else f"not every {self.subject} is matched"
        advice = f"add `case {self.missing} {{ .. }}` or `else {{ .. }}`" if self.missing else "add `else { .. }`"
        return self.at(self.span, f"`match` has no `else`, and {what}", help=advice)


@dataclass(frozen=True)
class CaseTwice(Mistake):
    """One value in two cases."""

    code = "E0503"
    title = "`match` leaves values out or has one twice"
    span: Span
    value: str
    first: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.value}` is matched twice",
            labels=(Label(self.first, "matched here first"),),
            help="remove one of them: the first case that holds a value is taken",
        )


@dataclass(frozen=True)
class NothingToMap(Mistake):
    """`map` over a single value."""

    code = "E0504"
    title = "`map` over a value without a first dim"
    span: Span
    value: str
    found: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`map` goes along the first dim, and {self.value} has none ({self.found})",
            help="iterate over a value with dims, or write the body without `map`",
        )


@dataclass(frozen=True)
class BadWeights(Mistake):
    """Weights of `route` that are no shares."""

    code = "E0505"
    title = "weights of `route`"
    span: Span
    text: str
    help: str
    weights: tuple[tuple[Span, str], ...] = ()
    """Each as it is now."""

    def diagnostic(self) -> Diagnostic:
        labels = tuple(Label(span, text) for span, text in self.weights if span != self.span)
        return self.at(self.span, self.text, labels=labels, help=self.help)


@dataclass(frozen=True)
class ShadowVariable(Mistake):
    """A name of a shadow arm, outside of it."""

    code = "E0506"
    title = "variable of a shadow arm used"
    span: Span
    name: str
    defined: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.name}` exists only inside a shadow arm, whose results are discarded",
            labels=(Label(self.defined, "defined here"),),
            help="make it an arm with a weight (`to`), or compute the value outside of `route`",
        )


@dataclass(frozen=True)
class StartedTwice(Mistake):
    """A stage with `effects = once` where it may be started again."""

    code = "E0507"
    title = "stage that runs once may be started again"
    span: Span
    stage: str
    why: str
    """`retries = 1`"""
    place: Span
    advice: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.stage}` has `effects = once`, and {self.why} may start it twice for a request",
            labels=(Label(self.place, self.why),),
            help=self.advice,
        )


@dataclass(frozen=True)
class LateInTry(Mistake):
    """A timeout inside of a `try` with a shorter one."""

    code = "E0508"
    title = "inner deadline longer than outer"
    span: Span
    node: str
    inner: str
    outer: str
    whole: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.node}` may take {self.inner}, and the `try` around it ends after {self.outer}",
            labels=(Label(self.whole, f"the `try`: {self.outer}"),),
            help=f"give it less than {self.outer}, or the `try` more",
        )


@dataclass(frozen=True)
class AbsentItem(Mistake):
    """An optional value as the result of an item."""

    code = "E0313"
    title = "rows are not independent"
    span: Span
    value: str
    found: str
    produced: Span | None

    def diagnostic(self) -> Diagnostic:
        labels: tuple[Label, ...] = ()
        if self.produced is not None and self.produced != self.span:
            labels = (Label(self.produced, f"{self.value} is {self.found}"),)
        return self.at(
            self.span,
            f"{self.value} may be absent ({self.found}), and an item of `map` has a value",
            labels=labels,
            help="give a value for that case: `?? ..`, or an `else` arm where it is made",
        )


@dataclass(frozen=True)
class NotAnItem(Mistake):
    """A value that can not get one more dim in front."""

    code = "E0312"
    title = "ragged size without an element"
    span: Span
    found: str
    why: str
    advice: str

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"{self.found} can not leave `map`: {self.why}", help=self.advice)


@dataclass(frozen=True)
class MoreItems(Mistake):
    """A size that may be larger than what `map` takes."""

    code = "E0307"
    title = "bound that can not be kept"
    span: Span
    size: str
    most: int
    maximum: int
    source: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`max` is {self.maximum}, and there may be {self.most} items: more than `max` end the request",
            labels=(Label(self.source, f"its first dim is {self.size}, at most {self.most}"),),
            help=f"raise `max` to {self.most}, or lower the bound where the size is made",
        )


@dataclass(frozen=True)
class KnownBranch(Mistake):
    """A decision that is always the same."""

    code = "W0502"
    title = "condition is always the same"
    span: Span
    word: str
    value: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"this is always {self.value}: `{self.word}` takes the same arm for every request",
            help="write that arm alone, or decide by an input or a param",
        )


@dataclass(frozen=True)
class UnboundedMap(Mistake):
    """`map` over any number of items."""

    code = "W0603"
    title = "unbounded `map`"
    span: Span
    size: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"nothing bounds the items of this `map` ({self.size})",
            help="say the most that a request may have: `map (max = 100) ..`, or a bound in `where`",
            notes=("a request with very many items takes memory, and time from all others",),
        )
