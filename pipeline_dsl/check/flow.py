"""Pipeline bodies -> typed graphs.

Statements are taken top-down, once. Each pipeline is typed once, whoever calls it; a call of one pipeline by another
copies its nodes (`inline`). All mistakes of a body are reported; whatever depends on a wrong value stays silent.
A construct's arms are typed as bodies of their own (`construct`), statement by statement as well.
"""

from __future__ import annotations

from collections import Counter
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
from pipeline_dsl.errors.yields import ReturnInArm
from pipeline_dsl.operations import Typed
from pipeline_dsl.sizes import Size
from pipeline_dsl.source import Span

from .arms import names_in, names_of
from .body import Body, Ids, Shared
from .branches import if_, match
from .callees import callees
from .construct import Construct
from .facts import Facts
from .fitting import fitted
from .flow_exprs import outcome_of
from .maps import map_
from .order import in_order
from .ragged import upper_bound
from .regions import Inner, Outcome, Region, Results, Value, Variable
from .returns import no_return, return_
from .routes import route
from .scope import PipelineBinding
from .sequence_flow import sequence_block, sequence_mistakes
from .signatures import sizes_of, type_of
from .stream_rules import stream_mistakes
from .substitution import Substitution
from .tries import try_


@dataclass(slots=True)
class Graphs:
    """The graphs of a program's pipelines, each made once, callees before their callers."""

    sink: Sink
    done: dict[PipelineBinding, ir.Graph | None] = field(default_factory=dict)
    stages: dict[str, ir.Stage] = field(default_factory=dict)
    """Those that are called so far."""
    facts: Facts = field(default_factory=Facts)

    def of(self, pipeline: PipelineBinding) -> ir.Graph | None:
        """The graph of a pipeline, or None after reporting its mistakes."""
        if pipeline not in self.done:
            order = in_order([pipeline], self._needs)
            for cycle in order.cycles:
                self._recursive(cycle)
            for one in order.items:
                self.done[one] = _typed(one, self)
            for one in dict.fromkeys(p for cycle in order.cycles for p in cycle):
                _typed(one, self)  # checked like all others, once those they call besides one another are done
        return self.done[pipeline]

    def _needs(self, pipeline: PipelineBinding) -> list[PipelineBinding]:
        return [p for p in callees(pipeline) if p not in self.done]

    def _recursive(self, cycle: tuple[PipelineBinding, ...]) -> None:
        """E0207. None of them has a graph."""
        at = callees(cycle[-1])[cycle[0]]
        self.sink.add(Recursion(at, cycle[0].name, tuple(p.name for p in cycle[1:])).diagnostic())
        self.done.update((p, None) for p in cycle)


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
    sequence = body.shared.sequence is not None
    graph = ir.Graph.of(pipeline.name, pipeline.signature, body.nodes, decl.doc, decl.name.span, sequence)
    for mistake in (*stream_mistakes(graph, decl.name.span), *sequence_mistakes(graph, body.shared.stages)):
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
    counts = Counter(name.text for name in names_of(decl.body) if name.text != "_")
    taken = {*counts, *(p.name for p in signature.inputs)}
    repeated = frozenset(name for name, count in counts.items() if count > 1)
    shared = Shared(graphs.done, graphs.stages, regions=[region], facts=graphs.facts)
    _note_limits(shared, signature)
    body = Body(pipeline, graphs.sink, shared, region, Ids(pipeline.name, taken, repeated), names)
    for port, written in zip(signature.inputs, decl.signature.inputs, strict=True):
        node = f"{pipeline.name}.{port.name}"
        body.nodes.append(ir.Input(id=node, span=written.span, port=port))
        value = Value(Typed(port.type), ir.Ref(node, port.name), written.name.span, port.name)
        region.variables[port.name] = Variable(value, written.name.span, "input")
    return body


def _note_limits(shared: Shared, signature: ir.Signature) -> None:
    """What `where` says of the sizes of a pipeline's inputs."""
    for name, size in sizes_of(signature.inputs).items():
        limit = upper_bound(name, signature)
        if limit is not None and size.symbol is not None:
            shared.limits[size.symbol] = limit


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
            sequence_block(body, statement)


def _inside(body: Body, statement: syntax.Statement) -> None:
    """A statement of an arm, other than `yield`."""
    if isinstance(statement, syntax.Assign):
        _assign(body, statement)
    elif isinstance(statement, syntax.Return):
        body.report(ReturnInArm(statement.span))
        for out in statement.outs:
            outcome_of(body, out.value)
    elif isinstance(statement, syntax.Nested):
        body.report(StrayBlock(statement.span, str(statement.key), "an arm", "`yield`"))


def _assign(body: Body, assign: syntax.Assign) -> None:
    value = assign.value
    if isinstance(value, syntax.Control):
        for target, part in zip(assign.targets, _control(body, assign, value), strict=True):
            _define(body, target, part, value.span)
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
            return None if body.region.find(target.name.text) else target.name.text
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
    first = body.region.find(name.text)
    if first is not None:
        body.report(SecondAssignment(name.span, name.text, first.span))
        first.outcome = None  # which of the two is meant below is anyone's guess
        return
    if isinstance(outcome, Value):
        outcome = body.settled(outcome, name.text)
    named = None if outcome is None else outcome.named(name.text, name.span)
    body.shared.facts.define(name.span, named)
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


def _control(body: Body, assign: syntax.Assign, control: syntax.Control) -> list[Outcome]:
    """What each target of a construct stands for."""
    _note_names(body, control)
    construct = Construct.of(body, _node_name(body, assign.targets), assign, control, _inside)
    match control:
        case syntax.If():
            return if_(construct, control)
        case syntax.Match():
            return match(construct, control)
        case syntax.Map():
            return map_(construct, control)
        case syntax.Route():
            return route(construct, control)
        case syntax.Try():
            return try_(construct, control)


def _note_names(body: Body, control: syntax.Control) -> None:
    """Names that only arms have: whoever reads them outside is told so."""
    inner = body.region.inner
    if isinstance(control, syntax.Route):
        shadows = (arm for arm in control.arms if isinstance(arm, syntax.ShadowArm))
        for name in (name for arm in shadows for name in names_of(arm.body)):
            inner.setdefault(name.text, Inner(name.span, shadow=True))
    for name in names_in(control):
        inner.setdefault(name.text, Inner(name.span))


_ADVICE = {"input": "remove it, if no client sends it", "item": "begin its name with `_`, or remove its source"}


def _unused(body: Body) -> None:
    """Names that nobody reads, those of arms too; `_x` says that this is meant, and the error of a fallback has to
    have a name before it can be read."""
    for region in body.shared.regions:
        for name, variable in region.variables.items():
            if not variable.used and not name.startswith("_") and variable.kind != "error":
                advice = _ADVICE.get(variable.kind, "remove it, or write `_` for what is not needed")
                body.sink.add(Unused(variable.span, variable.kind, name, advice).diagnostic())
