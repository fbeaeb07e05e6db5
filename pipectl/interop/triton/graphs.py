"""A pipeline's graph -> `Ensemble`, or why an ensemble can not do the same.

An ensemble is calls and nothing else. Its tensors are named after the ports of the pipeline where they are its
ports, and after the nodes that make them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors.exporting import NoEqual
from pipeline_dsl.source import Span
from pipeline_dsl.types import Rows, Sized

from .model import Ensemble, Model, Step, Tensor
from .stages import Written, settings_of

_CONTROL: Mapping[type, tuple[str, str]] = {
    syntax.If: ("if", "every step of an ensemble runs"),
    syntax.Match: ("match", "every step of an ensemble runs"),
    syntax.Map: ("map", "an ensemble has one batch size along its steps"),
    syntax.Route: ("route", "an ensemble has one way through it"),
    syntax.Try: ("try", "the first error of an ensemble ends its request"),
}


def control_reasons(pipeline: syntax.Pipeline) -> list[NoEqual]:
    """A reason for each control construct of a pipeline, those inside others as well."""
    return list(_in_body(pipeline.body))


def _in_body(body: syntax.Body) -> Iterator[NoEqual]:
    for statement in body.statements:
        if isinstance(statement, syntax.Assign):
            yield from _in_control(statement.value)


def _in_control(value: object) -> Iterator[NoEqual]:
    found = _CONTROL.get(type(value))
    if found is None or not isinstance(value, syntax.Control):
        return
    word, why = found
    span = Span(value.span.source, value.span.start, value.span.start + len(word))
    yield NoEqual(span, "Triton", f"`{word}`: {why}")
    bodies: list[syntax.Body | syntax.If | None] = []
    match value:
        case syntax.If(body=body, orelse=orelse):
            bodies = [body, orelse]
        case syntax.Match(cases=cases, default=default):
            bodies = [*(c.body for c in cases), default]
        case syntax.Map(body=body):
            bodies = [body]
        case syntax.Route(arms=arms):
            bodies = [a.body for a in arms]
        case syntax.Try(body=body, fallback=fallback):
            bodies = [body, fallback]
    for inner in bodies:
        if isinstance(inner, syntax.Body):
            yield from _in_body(inner)
        elif inner is not None:
            yield from _in_control(inner)


@dataclass(slots=True)
class _Draft:
    """An ensemble in the making."""

    graph: ir.Graph
    models: Mapping[str, Model]
    names: Mapping[str, str]
    """Names in Triton of ports that are no names of the language."""
    wires: dict[ir.Ref, str] = field(default_factory=dict)
    read: set[ir.Ref] = field(default_factory=set)
    """Values that a step or the request wants."""
    reasons: list[NoEqual] = field(default_factory=list)

    def no(self, span: Span | None, text: str) -> None:
        at = span or self.graph.span
        assert at is not None, "pipelines of a file have a place"
        self.reasons.append(NoEqual(at, "Triton", text))


def ensemble_of_graph(
    graph: ir.Graph, models: Mapping[str, Model], given: ir.Settings
) -> tuple[Ensemble | None, Written]:
    """The ensemble of a pipeline; None with reasons."""
    settings, kept = settings_of(given)
    title, names = str(kept.pop("name", "")), kept.pop("tensors", {})
    draft = _Draft(graph, models, names if isinstance(names, Mapping) else {})
    draft.read = {ref for node in graph.nodes for ref in ir.references(node)}
    _ports(draft)
    _wire(draft)
    steps = tuple(s for n in graph.nodes if (s := _step(n, draft)) is not None)
    left = tuple(k for k in settings if k != "max_inflight")
    if draft.reasons:
        return None, Written(kept, tuple(draft.reasons), left)
    rows = graph.signature.has_rows
    limits = [models[s.stage].max_rows for s in steps]
    ensemble = Ensemble(
        graph.name,
        min(limits, default=0) if rows else 0,
        tuple(_tensor(p, draft) for p in graph.signature.inputs),
        tuple(_tensor(p, draft) for p in graph.signature.outputs),
        steps,
        title,
        settings,
    )
    return ensemble, Written(kept, (), left)


def _tensor(port: ir.Port, draft: _Draft) -> Tensor:
    dims = tuple(_size(d) for d in port.type.dims if not isinstance(d, Rows))
    tensor = draft.names.get(port.name, port.name)
    return Tensor(port.name, tensor, port.type.dtype.name, dims, optional=port.type.optional)


def _size(dim: object) -> int:
    size = dim.size.value if isinstance(dim, Sized) else None
    return -1 if size is None else size


# ---- what can not be written


def _ports(draft: _Draft) -> None:
    """Ports that an ensemble can not have."""
    signature = draft.graph.signature
    for port in signature.inputs:
        if port.type.stream:
            draft.no(port.span, f"`{port.name}`: a request can not bring a stream")
    for port in (*signature.inputs, *signature.outputs):
        if port.type.has_rest:
            draft.no(port.span, f"`...` in `{port.name}`: a configuration says how many dims there are")
        elif signature.has_rows and not port.type.has_rows:
            draft.no(port.span, f"`{port.name}`, which has no `*` beside ports that do: all tensors have rows")
        if port.type.is_ragged:
            draft.no(port.span, f"`{port.type}` of `{port.name}`: rows of unequal size")
        if port.has_default:
            draft.no(port.span, f"the default of `{port.name}`: a request brings every tensor that is not optional")
    if not draft.graph.calls:
        draft.no(draft.graph.span, f"pipeline `{draft.graph.name}`: it calls no stage")


def _wire(draft: _Draft) -> None:
    """A name for every value that a step reads or the request gets."""
    taken = {draft.names.get(p.name, p.name) for p in draft.graph.signature.inputs}
    for node in draft.graph.nodes:
        if isinstance(node, ir.Input):
            draft.wires[ir.Ref(node.id, node.port.name)] = draft.names.get(node.port.name, node.port.name)
    for node in draft.graph.nodes:
        if isinstance(node, ir.Output):
            _output(node, taken, draft)
    taken |= set(draft.wires.values())
    for call in draft.graph.calls:
        short = call.id.partition(".")[2]
        for port, _ in call.results:
            wire = short if len(call.results) == 1 else f"{short}.{port}"
            while wire in taken:
                wire += "_"
            if ir.Ref(call.id, port) not in draft.wires:
                draft.wires[ir.Ref(call.id, port)] = wire
                taken.add(wire)


def _output(node: ir.Output, inputs: set[str], draft: _Draft) -> None:
    name = draft.names.get(node.port.name, node.port.name)
    if not isinstance(node.value, ir.Ref):
        draft.no(node.span, f"the constant output `{node.port.name}`")
    elif isinstance(draft.graph.node(node.value.node), ir.Input):
        draft.no(node.span, f"`{node.port.name}`: an input that is an output as well")
    elif node.value in draft.wires:
        draft.no(node.span, f"`{node.port.name}`: one value under two names")
    elif name in inputs:
        draft.no(node.span, f"output `{node.port.name}`: an input has this name, and an ensemble's tensors share names")
    else:
        draft.wires[node.value] = name


def _step(node: ir.Node, draft: _Draft) -> Step | None:
    match node:
        case ir.Input() | ir.Output():
            return None
        case ir.Call():
            return _called(node, draft)
        case ir.Compute():
            draft.no(node.span, "an expression: an ensemble has calls only")
        case _:
            draft.no(node.span, f"`{type(node).__name__.lower()}`: an ensemble has calls only")
    return None


def _called(call: ir.Call, draft: _Draft) -> Step | None:
    model = draft.models[call.stage]
    if call.timeout_ns is not None or call.priority is not None:
        draft.no(call.span, f"options of the call of `{call.stage}`: the request's are those of every step")
    _rows(call, model, draft)
    inputs = {}
    for port, operand in call.args:
        if isinstance(operand, ir.Ref):
            inputs[port] = draft.wires.get(operand, "")
        elif isinstance(operand, ir.Constant):
            draft.no(call.span, f"the constant given to `{port}` of `{call.stage}`")
    outputs = {port: draft.wires[ir.Ref(call.id, port)] for port, _ in call.results}
    outputs = {port: wire for port, wire in outputs.items() if ir.Ref(call.id, port) in draft.read}
    version = call.version if isinstance(call.version, int) else 0
    return Step(call.stage, inputs, outputs, version)


def _rows(call: ir.Call, model: Model, draft: _Draft) -> None:
    """Whether Triton hands the step the same rows: it prepends a batch of one, or finds the batch in front."""
    if draft.graph.signature.has_rows and not model.max_rows:
        draft.no(call.span, f"`{call.stage}`, which has no rows, in a pipeline of rows: all steps take a batch")
    if not draft.graph.signature.has_rows and call.binding == "rows":
        single = next((t for t in (*model.inputs, *model.outputs) if not t.dims), None)
        if single is not None:
            text = f"rows of single values (`{single.port}` of `{call.stage}`) from a size of the request"
            draft.no(call.span, text)
