"""Mistakes where a value does not fit its place: dtype, dims, rows, absence.

Each shows both ends: `^` where the value is handed over, `-` where it was produced and where it is required.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake
from .edits import written


@dataclass(frozen=True)
class Edge:
    """A value and the place that wants it."""

    span: Span
    """Where it is handed over."""
    value: str
    """`h`, or `this value`."""
    found: str
    needs: str
    """port `x` of `encoder`"""
    expected: str
    produced: Span | None = None
    required: Span | None = None

    def labels(self) -> tuple[Label, ...]:
        """Both ends, as far as they stand elsewhere."""
        ends = []
        if self.required is not None and self.required != self.span:
            ends.append(Label(self.required, f"{self.needs} is {self.expected}"))
        if self.produced is not None and self.produced != self.span:
            ends.append(Label(self.produced, f"{self.value} is {self.found}"))
        return tuple(ends)

    @property
    def here(self) -> str:
        """What stands at `span`, where no other label says it."""
        elsewhere = self.produced is not None and self.produced != self.span
        return "" if elsewhere else f"{self.value} is {self.found}"


@dataclass(frozen=True)
class SizeMismatch(Mistake):
    """Two sizes, known to differ."""

    code = "E0301"
    title = "sizes differ"
    edge: Edge
    dimension: int
    """1-based."""
    expected: str
    found: str

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        return self.at(
            edge.span,
            f"shapes differ in dimension {self.dimension}: expected {self.expected}, found {self.found}",
            label=edge.here,
            labels=edge.labels(),
            help=self._advice(),
        )

    def _advice(self) -> str:
        if self.found == "*":
            return "rows are independent: write `*` there too, or take a size name in the pipeline's port"
        if self.expected == "*":
            return "`*` is for rows of the request: write a size name there, or take `*` in the pipeline's port"
        if self.found.startswith("~") and not self.expected.startswith("~"):
            name = self.found.partition(" of ")[0]
            return f"each row has its own size here: declare it so (`{name}`), or call it inside `map`"
        return "make both sizes the same, or put a stage between that changes the size"


@dataclass(frozen=True)
class DtypeMismatch(Mistake):
    """A value of another dtype."""

    code = "E0302"
    title = "dtypes differ"
    edge: Edge
    dtype: str
    castable: bool = False

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        value = edge.value.strip("`") if edge.value.startswith("`") else ".."
        advice = f"put a stage between that gives {self.dtype}"
        return self.at(
            edge.span,
            f"{edge.needs} needs {self.dtype}, found {edge.found}",
            labels=edge.labels(),
            help=f"write `cast({value}, {self.dtype})`, or {advice}" if self.castable else advice,
            edits=written(edge.span, f"cast({edge.span.text}, {self.dtype})") if self.castable else (),
        )


@dataclass(frozen=True)
class OperandMismatch(Mistake):
    """An operand of another dtype."""

    code = "E0302"
    title = "dtypes differ"
    span: Span
    problem: str
    advice: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.problem, help=self.advice)


@dataclass(frozen=True)
class UnprovenSizes(Mistake):
    """Two sizes that nobody knows to be equal."""

    code = "E0303"
    title = "sizes that may differ"
    edge: Edge
    dimension: int
    expected: str
    found: str
    other: Span | None = None
    other_name: str = ""
    """The argument that gave the expected size its value."""

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        labels = edge.labels()
        if self.other is not None:
            labels = (Label(self.other, f"{self.other_name} makes this size {self.expected}"), *labels)
        return self.at(
            edge.span,
            f"cannot tell that these sizes are equal: {self.expected} and {self.found}",
            label=f"dimension {self.dimension} is {self.found}",
            labels=labels,
            help="use outputs of the same call, or let one stage take both and give values of one size",
        )


@dataclass(frozen=True)
class RankMismatch(Mistake):
    """Too many or too few dims."""

    code = "E0304"
    title = "numbers of dims differ"
    edge: Edge
    expected: str
    """`4 dims`, `3 or 4 dims`."""
    found: int
    extra_axis: bool = False
    """The value has exactly one dim more, in front."""
    missing_axis: bool = False
    """The value lacks exactly the axis that a `...` needs."""

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        return self.at(
            edge.span,
            f"expected {self.expected}, found {self.found}",
            label=edge.here,
            labels=edge.labels(),
            help=self._advice(),
        )

    def _advice(self) -> str:
        if self.extra_axis:
            return "only the first dim is too much: give the stage a row axis, `[*, ..]`, or call it inside `map`"
        if self.missing_axis:
            return "only the row axis is missing: a port with `...` needs it, pass `[x]` for one row"
        return ""


@dataclass(frozen=True)
class RowCounts(Mistake):
    """Ports with `*` whose arguments have different rows."""

    code = "E0305"
    title = "rows of different counts in one call"
    span: Span
    stage: str
    port: str
    rows: str
    """`rows `N``, `one row`."""
    other_span: Span
    other_port: str
    other_rows: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"rows of `{self.other_port}` ({self.other_rows}) and `{self.port}` ({self.rows}) differ"
            f" in one call of `{self.stage}`",
            label=f"{self.port}: {self.rows}",
            labels=(Label(self.other_span, f"{self.other_port}: {self.other_rows}"),),
            help=f"call it inside `map`, which repeats outer values, or declare port `{self.port}` without `*`",
        )


@dataclass(frozen=True)
class NoRaggedRule(Mistake):
    """`~L` where arrays with equal rows are needed."""

    code = "E0306"
    title = "ragged value to a stage without a rule for it"
    span: Span
    stage: str
    port: str
    dim: str
    backend: str
    declared: Span | None

    def diagnostic(self) -> Diagnostic:
        labels: tuple[Label, ...] = ()
        if self.declared is not None:
            labels = (Label(self.declared, f"`~{self.dim}` is one size per row"),)
        return self.at(
            self.span,
            f"`~{self.dim}` reaches `{self.stage}.{self.port}`, and `{self.stage}` has no `ragged` rule for it",
            labels=labels,
            help=f"add to the stage: `ragged {{ {self.dim} = pad(0) }}`",
            notes=(f"{self.backend} takes arrays whose rows have one size; a python stage needs no rule",),
        )


@dataclass(frozen=True)
class BoundViolated(Mistake):
    """A size outside a `where` bound."""

    code = "E0307"
    title = "bound that can not be kept"
    edge: Edge
    stage: str
    bound: str
    values: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.edge.span,
            f"`{self.stage}` needs {self.bound}, here {self.values}",
            label=self.edge.here,
            labels=self.edge.labels(),
            help="give a value within the bound, or raise the bound in `where` if the artifact allows it",
        )


@dataclass(frozen=True)
class MayBeAbsent(Mistake):
    """`T?` where `T` is needed."""

    code = "E0309"
    title = "optional value where one is required"
    edge: Edge

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        value = edge.value.strip("`") if edge.value.startswith("`") else ".."
        return self.at(
            edge.span,
            f"{edge.value} may be absent ({edge.found}), {edge.needs} needs {edge.expected}",
            labels=edge.labels(),
            help=f"give a value for that case, `{value} ?? ..`, or make the place optional: `{edge.expected}?`",
        )


@dataclass(frozen=True)
class OperandMayBeAbsent(Mistake):
    """`T?` as an operand."""

    code = "E0309"
    title = "optional value where one is required"
    span: Span
    problem: str
    advice: str

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.problem, help=self.advice or "give a value for that case: `x ?? ..`")


@dataclass(frozen=True)
class Unchecked(Mistake):
    """A value with `?` or `...` where certain dims are needed."""

    code = "W0301"
    title = "shape checking is switched off"
    edge: Edge

    def diagnostic(self) -> Diagnostic:
        edge = self.edge
        return self.at(
            edge.span,
            f"a shape is not checked here: {edge.needs} is {edge.expected}, found {edge.found}",
            labels=edge.labels(),
            help="give the size a name (`N`) or a number where the value is made",
        )
