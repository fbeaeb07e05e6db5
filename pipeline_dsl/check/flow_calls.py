"""A call of a stage or a pipeline in a body: arguments to ports, row rules, then nodes.

Takes what is called and what its arguments stand for, gives the call's `Results`, or None after reporting. A stage
becomes one `ir.Call`; a pipeline is inlined, node by node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline_dsl import ir
from pipeline_dsl.errors.calls import AmbiguousHandle, UnlistedVersion
from pipeline_dsl.errors.flow import NotExecutable, TooLarge
from pipeline_dsl.errors.signatures import DeclaredMismatch
from pipeline_dsl.errors.types import BoundViolated, Edge, NoRaggedRule, RowCounts, Unchecked
from pipeline_dsl.operations import Problem, Typed, fit
from pipeline_dsl.source import Span
from pipeline_dsl.types import Ragged, TensorType

from .arguments import Callee, Given, placed
from .body import Body, constant, outputs_of
from .fitting import call_rank_mistake, edge_of, kind_mistake, size_mistake
from .flow_options import call_options
from .inline import Inlining
from .ragged import upper_bound
from .regions import Outcome, Results, Value
from .rowrules import BoundCall, Conflict, bind
from .scope import PipelineBinding, StageBinding
from .substitution import Substitution
from .unify import Mismatch

NEEDS_RULE = frozenset({"onnx", "torch", "tensorrt", "remote"})
"""Backends that take arrays only: a ragged dim needs a rule there."""

LARGEST = 20_000
"""Nodes of one pipeline, those of the pipelines it calls included."""


@dataclass(frozen=True, slots=True)
class Site:
    """A call as written. `name`: its node's name, where a target or an output gives it one."""

    span: Span
    callee: Span
    arguments: Sequence[Given]
    options: Sequence[Given] = ()
    name: str | None = None


# ---- stages


def call_stage(
    body: Body, stage: StageBinding, site: Site, version: int | str | None = None, pinned: Span | None = None
) -> Results | None:
    """The outputs of a stage's call. version, pinned: as in `ranker@4`, and where that stands."""
    declared = stage.stage
    body.shared.stages[declared.name] = declared
    callee = _callee_of(declared)
    listed = _version(body, stage, version, pinned or site.callee)
    options = call_options(body, site.options)
    call = _bound(body, callee, site)
    if call is None or options is None or not listed:
        return None
    node = body.ids.of(site.name, declared.name.rpartition(".")[2])
    bound = _typed(body, callee, call, site, node)
    if bound is None:
        return None
    results = tuple((p.name, kind) for p, kind in zip(declared.signature.outputs, bound.results, strict=True))
    body.nodes.append(
        ir.Call(
            id=node,
            span=site.span,
            stage=declared.name,
            binding=bound.binding,
            args=tuple(call.operands(body).items()),
            results=results,
            version=None if version == "latest" else version,
            timeout_ns=options.get("timeout"),
            priority=options.get("priority"),
        )
    )
    return outputs_of(callee.shown, node, results, site.span)


def _callee_of(stage: ir.Stage) -> Callee:
    rules = stage.contract.ragged
    filled = {port: f"its `ragged` rule for `{r.dim}`" for r in rules for port in (r.mask, r.lengths, r.offsets)}
    if (sequence := stage.contract.sequence) is not None:
        filled |= dict.fromkeys((sequence.start, sequence.end, sequence.ready, sequence.id), "its `sequence` block")
    filled.pop("", None)
    unruled: frozenset[str] = frozenset()
    if stage.backend in NEEDS_RULE:
        unruled = _ragged_names(stage.signature) - {r.dim for r in rules}
    return Callee(f"stage `{stage.name}`", stage.name, stage.signature, filled, unruled, stage.backend)


def _ragged_names(signature: ir.Signature) -> frozenset[str]:
    dims = (d for p in signature.inputs for d in p.type.dims if isinstance(d, Ragged))
    return frozenset(s.name for d in dims for s in d.size.symbols)


def _version(body: Body, stage: StageBinding, version: int | str | None, span: Span) -> bool:
    listed = stage.stage.contract.versions
    if version is None or version == "latest" or version in listed:
        return True
    body.report(UnlistedVersion(span, stage.stage.name, version, listed, stage.decl.name.span))
    return False


# ---- pipelines


def call_pipeline(body: Body, pipeline: PipelineBinding, site: Site) -> Results | None:
    """The outputs of a sub-pipeline; its nodes become nodes of this body."""
    callee = Callee(f"pipeline `{pipeline.name}`", pipeline.name, pipeline.signature)
    if site.options:
        where = site.options[0].argument.span.to(site.options[-1].argument.span)
        body.report(NotExecutable(where, "`with` on a call of a pipeline", "put it on the stage calls inside"))
    graph = body.shared.graphs[pipeline]
    call = _bound(body, callee, site)
    if call is None:
        return None
    node = body.ids.of(site.name, pipeline.decl.name.text)
    bound = _typed(body, callee, call, site, node)
    if bound is None:
        return None
    if graph is None:
        body.failed = True
        declared = ((p.name, kind) for p, kind in zip(pipeline.signature.outputs, bound.results, strict=True))
        return outputs_of(callee.shown, node, declared, site.span)
    if body.shared.inlined + graph.size > LARGEST:
        body.report(TooLarge(site.callee, body.binding.name, LARGEST))
        return None
    inlining = Inlining(graph, node, call.operands(body), bound.names)
    inlining.run()
    body.nodes += inlining.nodes
    body.shared.inlined += sum(1 for _ in ir.walk(inlining.nodes))
    body.fresh |= bound.names.made
    return _inlined(callee, inlining, site.span)


def _inlined(callee: Callee, inlining: Inlining, span: Span) -> Results:
    values = []
    for port, (operand, kind) in inlining.outputs.items():
        known = isinstance(operand, ir.Constant)
        typed = Typed(kind, operand.value) if isinstance(operand, ir.Constant) else Typed(kind)
        values.append((port, constant(typed, span) if known else Value(typed, operand, span)))
    return Results(callee.shown, tuple(values), span)


# ---- arguments


@dataclass(frozen=True, slots=True)
class _Call:
    """Arguments of a call, one for each input port of the callee."""

    ports: tuple[ir.Port, ...]
    values: tuple[Value | None, ...]
    """None: absent."""
    types: tuple[TensorType | None, ...]
    """As the row rules want them: None where an argument brings no rows and needs no check."""
    spans: tuple[Span, ...]
    poisoned: bool = False

    def operands(self, body: Body) -> Mapping[str, ir.Operand | None]:
        """What the call reads, by port."""
        return {
            port.name: None if value is None else body.operand(value)
            for port, value in zip(self.ports, self.values, strict=True)
        }


def _bound(body: Body, callee: Callee, site: Site) -> _Call | None:
    """Arguments brought to their ports; None if they can not be."""
    given = placed(body, callee, site.arguments, site.span)
    if given is None:
        return None
    values: list[Value | None] = []
    types: list[TensorType | None] = []
    poisoned = False
    for port in callee.signature.inputs:
        one = given.get(port.name)
        value = _default(port, site.span) if one is None else _argument(body, callee, port, one)
        poisoned = poisoned or (value is None and one is not None and not _is_null(one))
        values.append(value)
        types.append(None if value is None else _row_type(port, value))
    spans = tuple(given[p.name].span if p.name in given else site.span for p in callee.signature.inputs)
    return _Call(callee.signature.inputs, tuple(values), tuple(types), spans, poisoned)


def _default(port: ir.Port, span: Span) -> Value | None:
    if not port.has_default or port.default is None:
        return None
    return constant(Typed(TensorType(port.type.dtype), port.default), span)


def _is_null(given: Given) -> bool:
    return isinstance(given.outcome, Value) and given.outcome.typed.value is None


def _argument(body: Body, callee: Callee, port: ir.Port, given: Given) -> Value | None:
    """The value of one argument; None where it is absent, or after reporting."""
    value = single(body, given.outcome, given.span)
    if value is None:
        return None
    if not value.typed.known:
        return value
    if value.typed.value is None and port.type.optional:
        return None
    if value.type.stream:  # `stream_of()`; a port that takes no stream says so by its type
        return constant(Typed(port.type.required() if port.type.stream else value.type, value.typed.value), value.span)
    result = fit(value.typed, TensorType(port.type.dtype, value.type.dims))
    if isinstance(result, Problem):
        text = f"port `{port.name}` of `{callee.name}`: {result.text}"
        body.report(DeclaredMismatch(given.span, text, port.span, result.help))
        return None
    return constant(result, value.span)


def single(body: Body, outcome: Outcome, span: Span) -> Value | None:
    """An outcome as one value; E0406 for a call with several outputs."""
    if isinstance(outcome, Results):
        if len(outcome.values) == 1:
            return outcome.values[0][1]
        body.report(AmbiguousHandle(span, outcome.shown, tuple(port for port, _ in outcome.values)))
        return None
    body.failed = body.failed or outcome is None
    return outcome


def _row_type(port: ir.Port, value: Value) -> TensorType | None:
    """A single known value given to a port `T[*]` is there for every row."""
    if value.typed.known and not value.type.dims and port.type.has_rows and len(port.type.dims) == 1:
        return None
    return value.type


def _typed(body: Body, callee: Callee, call: _Call, site: Site, node: str) -> BoundCall | None:
    """The call by the row rules; its conflicts as mistakes."""
    origin = body.origin(callee.name, site.span, node)
    bound = bind(callee.signature, call.types, origin, callee.unruled)
    if isinstance(bound, BoundCall):
        for at in bound.unchecked:
            body.report(Unchecked(_edge(callee, call, at)))
        _note_sizes(body, callee.signature, bound.names)
        return None if call.poisoned else bound
    for conflict in bound:
        _report(body, callee, call, conflict)
    return None


def _note_sizes(body: Body, signature: ir.Signature, names: Substitution) -> None:
    """The sizes that a call makes, and what its `where` says of them."""
    body.fresh |= names.made
    for symbol, size in names.sizes.items():
        limit = upper_bound(symbol.name, signature) if size.symbol in names.made else None
        if limit is not None and size.symbol is not None:
            body.shared.limits[size.symbol] = limit


def _edge(callee: Callee, call: _Call, at: int) -> Edge:
    port, value = call.ports[at], call.values[at]
    assert value is not None
    return edge_of(value, port.type, f"port `{port.name}` of `{callee.name}`", call.spans[at], port.span)


def _report(body: Body, callee: Callee, call: _Call, conflict: Conflict) -> None:
    port = call.ports[conflict.port]
    edge = _edge(callee, call, conflict.port)
    found = call.types[conflict.port]
    assert found is not None
    if conflict.code in ("E0301", "E0303"):
        mismatch = Mismatch(conflict.code, conflict.expected, conflict.found, conflict.dim)
        at = conflict.other
        other = (call.spans[at], f"`{call.ports[at].name}`") if at is not None else (None, "")
        body.report(size_mistake(mismatch, edge, *other))
    elif conflict.code == "E0304":
        body.report(call_rank_mistake(edge, port.type, found))
    elif conflict.code == "E0305":
        body.report(_row_counts(callee, call, conflict))
    elif conflict.code == "E0306":
        body.report(NoRaggedRule(edge.span, callee.name, port.name, conflict.expected, callee.backend, port.span))
    elif conflict.code == "E0307":
        body.report(BoundViolated(edge, callee.name, conflict.expected, conflict.found))
    else:
        body.report(kind_mistake(conflict.code, edge, port.type, found))


def _row_counts(callee: Callee, call: _Call, conflict: Conflict) -> RowCounts:
    at = conflict.other
    assert at is not None
    return RowCounts(
        call.spans[conflict.port],
        callee.name,
        call.ports[conflict.port].name,
        conflict.found,
        call.spans[at],
        call.ports[at].name,
        conflict.expected,
    )
