"""The state of typing one pipeline: nodes so far, names, ids, and what has been reported.

Everything that types a part of a body takes a `Body` and adds to it. An arm of a construct is a `Body` of its own,
made by `enter`, that shares what belongs to the whole pipeline. Ids are those of the language: `pipeline.target`,
`pipeline.stage_1` for a call without a name, `pipeline.target.arm.name` in an arm for a name that stands elsewhere too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pipeline_dsl import ir
from pipeline_dsl.diagnostics import Severity, Sink
from pipeline_dsl.errors import Mistake
from pipeline_dsl.operations import OPERATIONS, Typed
from pipeline_dsl.sizes import Symbol
from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .facts import Facts
from .regions import Region, Results, Value
from .scope import PipelineBinding, Scope
from .substitution import Substitution


@dataclass(frozen=True, slots=True)
class Ids:
    """Node ids of one pipeline, or of one arm in it. `taken` starts with all names of the body, arms included, so
    that no id is given twice; `repeated` are those that stand in several places."""

    pipeline: str
    taken: set[str]
    repeated: frozenset[str] = frozenset()
    arm: str = ""
    """The construct's id and the arm's name, `p.x.else`; "" outside of constructs."""
    counts: dict[str, int] = field(default_factory=dict)

    def of(self, name: str | None, base: str) -> str:
        """The id of a node: its target's name, else a numbered one."""
        if name is not None and self.arm and name in self.repeated:
            return f"{self.arm}.{name}"
        return f"{self.pipeline}.{name or self._numbered(base)}"

    def _numbered(self, base: str) -> str:
        while True:
            self.counts[base] = self.counts.get(base, 0) + 1
            name = f"{base}_{self.counts[base]}"
            if name not in self.taken:
                self.taken.add(name)
                return name


@dataclass(slots=True)
class Shared:
    """What all arms of a pipeline's body fill together."""

    graphs: Mapping[PipelineBinding, ir.Graph | None]
    """Of the pipelines that this one may call; None for one with mistakes."""
    stages: dict[str, ir.Stage]
    """Every stage that is called, by its name; those of inlined pipelines too."""
    origins: set[str] = field(default_factory=set)
    limits: dict[Symbol, int] = field(default_factory=dict)
    """The largest number that a size can be, where something bounds it."""
    regions: list[Region] = field(default_factory=list)
    """The names of the body and of each arm, in the order of the text."""
    sequence: Span | None = None
    """Where the pipeline says that it takes sequences."""
    inlined: int = 0
    """Nodes that came with the pipelines it calls."""
    facts: Facts = field(default_factory=Facts)


@dataclass(slots=True)
class Body:
    """One pipeline being typed, or one arm in it."""

    binding: PipelineBinding
    sink: Sink
    shared: Shared
    region: Region
    ids: Ids
    names: Substitution
    """Sizes of the signature and of annotations, so far."""
    nodes: list[ir.AnyNode] = field(default_factory=list)
    fresh: set[Symbol] = field(default_factory=set)
    """Sizes made since the pipeline, or the item of a `map`, was entered: each element has its own."""
    element: Literal["request", "item"] = "request"
    """What it runs for."""
    failed: bool = False

    def enter(self, arm: str, region: Region, *, items: bool = False) -> Body:
        """The body of an arm: `arm` is its id (`p.x.else`), `items` says that it runs once for each item of a `map`."""
        self.shared.regions.append(region)
        return replace(
            self,
            region=region,
            ids=replace(self.ids, arm=arm),
            names=replace(self.names, sizes=dict(self.names.sizes), unknown=set(self.names.unknown)),
            nodes=[],
            fresh=set() if items else self.fresh,
            element="item" if items else self.element,
            failed=False,
        )

    @property
    def scope(self) -> Scope:
        return self.binding.scope

    def report(self, mistake: Mistake) -> None:
        """Tell a mistake; an error means that there will be no graph."""
        self.sink.add(mistake.diagnostic())
        self.failed = self.failed or mistake.severity() is Severity.ERROR

    def origin(self, callee: str, span: Span, node: str) -> str:
        """Where fresh sizes of a call come from: `detect, line 19`, with more words where that is not unique."""
        line = f"{callee}, line {span.line}"
        texts = (line, f"{line}, column {span.column}", f"{line}, {node}")
        found = next(text for text in texts if text not in self.shared.origins or text is texts[-1])
        self.shared.origins.add(found)
        return found

    def operand(self, value: Value, name: str | None = None, node: str = "") -> ir.Operand:
        """What a node reads to get a value; an expression becomes a node of its own. node: its id, if it is fixed."""
        if isinstance(value.expression, ir.Constant) and value.type.stream:
            node = node or self.ids.of(name, "stream_of")
            self.nodes.append(ir.StreamOf(id=node, span=value.span, elements=(), type=value.type))
            return ir.Ref(node, "value")
        if isinstance(value.expression, ir.Ref | ir.Constant):
            return value.expression
        operation = OPERATIONS[value.expression.op]
        node = node or self.ids.of(name, "value" if operation.symbol else operation.name)
        self.nodes.append(ir.Compute(id=node, span=value.span, expression=value.expression, type=value.type))
        return ir.Ref(node, "value")

    def settled(self, value: Value, name: str | None = None) -> Value:
        """A value that is read from a node or known, not computed again at each use."""
        return replace(value, expression=self.operand(value, name))


def constant(typed: Typed, span: Span) -> Value:
    """A value that is known now."""
    return Value(typed, ir.Constant(typed.value, typed.type), span)


def outputs_of(callee: str, node: str, results: Iterable[tuple[str, TensorType]], span: Span) -> Results:
    """The outputs of a call node."""
    values = tuple((port, Value(Typed(kind), ir.Ref(node, port), span)) for port, kind in results)
    return Results(callee, values, span)
