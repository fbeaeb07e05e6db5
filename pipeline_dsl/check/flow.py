"""Pipeline bodies -> typed graphs.

Statements are taken top-down, once. Each pipeline is typed once, whoever calls it; a call of one pipeline by another
copies its nodes (`inline`). All mistakes of a body are reported; whatever depends on a wrong value stays silent.
Control constructs parse and are answered with E0599: their arms will be regions of their own below the body's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.calls import AmbiguousHandle
from pipeline_dsl.errors.flow import (
    NotExecutable,
    NotUnpackable,
    Recursion,
    SecondAssignment,
    StrayBlock,
    TargetCount,
    YieldInPipeline,
)
from pipeline_dsl.errors.names import Unused
from pipeline_dsl.operations import Typed
from pipeline_dsl.sizes import Size
from pipeline_dsl.source import Span

from .arms import names_in, names_read
from .body import Body, Ids
from .callees import callees
from .fitting import fitted
from .flow_calls import SEQUENCE_ADVICE
from .flow_exprs import outcome_of
from .order import in_order
from .regions import Outcome, Region, Results, Value, Variable
from .returns import no_return, return_
from .scope import PipelineBinding
from .signatures import sizes_of, type_of
from .stream_rules import stream_mistakes
from .substitution import Substitution


@dataclass(slots=True)
class Graphs:
    """The graphs of a program's pipelines, each made once, callees before their callers."""

    sink: Sink
    done: dict[PipelineBinding, ir.Graph | None] = field(default_factory=dict)

    def of(self, pipeline: PipelineBinding) -> ir.Graph | None:
        """The graph of a pipeline, or None after reporting its mistakes."""
        if pipeline not in self.done:
            order = in_order([pipeline], self._needs)
            for cycle in order.cycles:
                self._recursive(cycle)
            for one in order.items:
                self.done[one] = _typed(one, self)
        return self.done[pipeline]

    def _needs(self, pipeline: PipelineBinding) -> list[PipelineBinding]:
        return [p for p in callees(pipeline) if p not in self.done]

    def _recursive(self, cycle: tuple[PipelineBinding, ...]) -> None:
        """E0207. Their bodies are checked like all others, but none of them has a graph."""
        at = callees(cycle[-1])[cycle[0]]
        self.sink.add(Recursion(at, cycle[0].name, tuple(p.name for p in cycle[1:])).diagnostic())
        self.done.update((p, None) for p in cycle)
        for one in cycle:
            _typed(one, self)


def _typed(pipeline: PipelineBinding, graphs: Graphs) -> ir.Graph | None:
    body = _start(pipeline, graphs)
    _streams(body)
    statements = pipeline.decl.body.statements
    returns = [s for s in statements if isinstance(s, syntax.Return)]
    for statement in statements:
        _statement(body, statement, returns)
    if not returns:
        no_return(body)
    if body.failed:
        return None
    _unused(body)
    decl = pipeline.decl
    graph = ir.Graph.of(pipeline.name, pipeline.signature, body.nodes, decl.doc, decl.name.span)
    for mistake in stream_mistakes(graph, decl.name.span):
        body.report(mistake)
    return None if body.failed else graph


def _start(pipeline: PipelineBinding, graphs: Graphs) -> Body:
    decl, signature = pipeline.decl, pipeline.signature
    region = Region()
    for statement in decl.body.statements:
        if isinstance(statement, syntax.Assign):
            for target in statement.targets:
                region.later.setdefault(target.name.text, target.name.span)
    names = Substitution()
    names.sizes.update((s, Size.of(s)) for size in sizes_of(signature.inputs).values() for s in size.symbols)
    taken = {*region.later, *(p.name for p in signature.inputs)}
    body = Body(pipeline, graphs.sink, graphs.done, region, Ids(pipeline.name, taken), names)
    for port, written in zip(signature.inputs, decl.signature.inputs, strict=True):
        node = f"{pipeline.name}.{port.name}"
        body.nodes.append(ir.Input(id=node, span=written.span, port=port))
        value = Value(Typed(port.type), ir.Ref(node, port.name), written.name.span, port.name)
        region.variables[port.name] = Variable(value, written.name.span, "input")
    return body


def _streams(body: Body) -> None:
    """What a client sends is whole; only a private pipeline, which is a part of others, takes streams."""
    decl = body.binding.decl
    for written, port in zip(decl.signature.inputs, body.binding.signature.inputs, strict=True):
        if port.type.stream and not decl.private:
            advice = "take the whole value, or make the pipeline `private` and call it from another"
            body.report(NotExecutable(written.type.span, "a stream from a client", advice))


# ---- statements


def _statement(body: Body, statement: syntax.Statement, returns: list[syntax.Return]) -> None:
    match statement:
        case syntax.Assign():
            _assign(body, statement)
        case syntax.Return():
            return_(body, statement, returns[0])
        case syntax.Yield():
            body.report(YieldInPipeline(statement.span))
        case syntax.Nested():
            key = str(statement.key)
            if key == "sequence":
                body.report(NotExecutable(statement.span, "a sequence pipeline", SEQUENCE_ADVICE))
            else:
                body.report(StrayBlock(statement.span, key))


def _assign(body: Body, assign: syntax.Assign) -> None:
    value = assign.value
    if isinstance(value, syntax.Control):
        _control(body, assign, value)
        return
    outcome = outcome_of(body, value, _node_name(body, assign.targets))
    if len(assign.targets) == 1:
        _define(body, assign.targets[0], outcome, value.span)
        return
    parts = _unpacked(body, outcome, assign)
    for target, part in zip(assign.targets, parts, strict=True):
        _define(body, target, part, value.span)


def _node_name(body: Body, targets: tuple[syntax.Target, ...]) -> str | None:
    """The name of the node: the first target that is not `_`, unless that name is taken."""
    for target in targets:
        if target.name.text != "_":
            return None if target.name.text in body.region.variables else target.name.text
    return None


def _unpacked(body: Body, outcome: Outcome, assign: syntax.Assign) -> list[Outcome]:
    """One outcome for each target."""
    count = len(assign.targets)
    if isinstance(outcome, Results) and len(outcome.values) == count:
        return [value for _, value in outcome.values]
    if isinstance(outcome, Results):
        body.report(TargetCount(_targets(assign), outcome.callee, outcome.ports, count))
    elif outcome is not None:
        body.report(NotUnpackable(_targets(assign), str(outcome.type), count))
    body.failed = True
    return [None] * count


def _targets(assign: syntax.Assign) -> Span:
    return assign.targets[0].span.to(assign.targets[-1].span)


def _define(body: Body, target: syntax.Target, outcome: Outcome, span: Span) -> None:
    """Bind a target to what stands on the right, checked against its annotation."""
    name = target.name
    if target.type is not None:
        outcome = _annotated(body, target, target.type, outcome, span)
    body.failed = body.failed or outcome is None
    if name.text == "_":
        return
    first = body.region.variables.get(name.text)
    if first is not None:
        body.report(SecondAssignment(name.span, name.text, first.span))
        first.outcome = None  # which of the two is meant below is anyone's guess
        return
    if isinstance(outcome, Value):
        outcome = body.settled(outcome, name.text)
    named = None if outcome is None else outcome.named(name.text, name.span)
    body.region.variables[name.text] = Variable(named, name.span)


def _annotated(body: Body, target: syntax.Target, annotation: syntax.TypeExpr, outcome: Outcome, span: Span) -> Outcome:
    declared = type_of(annotation, body.scope, body.sink, target.name.text)
    if declared is None or outcome is None:
        return None
    if isinstance(outcome, Results):
        if len(outcome.values) != 1:
            body.report(AmbiguousHandle(span, outcome.shown, tuple(port for port, _ in outcome.values)))
            return None
        port, value = outcome.values[0]
        checked = fitted(body, value, declared, f"`{target.name}`", span, annotation.span)
        return None if checked is None else Results(outcome.callee, ((port, checked),), outcome.span)
    return fitted(body, outcome, declared, f"`{target.name}`", span, annotation.span)


def _control(body: Body, assign: syntax.Assign, control: syntax.Control) -> None:
    """What the construct gives is unknown; what its arms name stays theirs."""
    word = type(control).__name__.lower()
    span = Span(control.span.source, control.span.start, control.span.start + len(word))
    body.report(NotExecutable(span, f"`{word}`", _ADVICE[word]))
    for name in names_in(control):
        body.region.inner.setdefault(name.text, name.span)
    for read in names_read(control):
        body.scope.mark_used(read)
    for target in assign.targets:
        _define(body, target, None, assign.span)


_ADVICE = {
    "if": "use `select(c, a, b)` on single values, or decide in a python stage",
    "match": "use `select(c, a, b)` on single values, or decide in a python stage",
    "map": "give the stages a row axis `*` and call them on all items at once",
    "route": "call one of the stages",
    "try": "write the call without `try`; its failure ends the request",
}


def _unused(body: Body) -> None:
    """Names that nobody reads; `_x` says that this is meant."""
    for name, variable in body.region.variables.items():
        if not variable.used and not name.startswith("_"):
            advice = "remove it, or write `_` for what is not needed"
            if variable.kind == "input":
                advice = "remove it, if no client sends it"
            body.sink.add(Unused(variable.span, variable.kind, name, advice).diagnostic())
