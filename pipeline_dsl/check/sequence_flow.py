"""Sequences in a pipeline: its own `sequence { id = correlation_id }`, and where sequence stages may stand.

A request of a sequence runs a sequence stage once: not for each item of a `map`, not in an arm that the next request
may not take, not in two attempts side by side (E0802, E0803). A pipeline that reaches one takes sequences itself (E0801).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.flow import StrayBlock
from pipeline_dsl.errors.names import DuplicateName
from pipeline_dsl.errors.sequences import PlainPipeline, SharedState, UnpinnedSequence
from pipeline_dsl.errors.settings import UnknownSetting, WrongSetting
from pipeline_dsl.source import Span

from .body import Body
from .setting_values import word_of

_HINT = "write `id = correlation_id`"


def sequence_block(body: Body, block: syntax.Nested) -> None:
    """`sequence { id = correlation_id }` among the statements of a pipeline."""
    if str(block.key) != "sequence" or block.version is not None:
        body.report(StrayBlock(block.span, str(block.key)))
        return
    first: syntax.Setting | None = None
    for item in block.block.items:
        key = "state" if isinstance(item, syntax.State) else str(item.key)
        if not isinstance(item, syntax.Setting) or key != "id":
            span = item.span if isinstance(item, syntax.State) else item.key.span
            body.report(UnknownSetting(span, key, "`sequence` of a pipeline", ("id",)))
        elif first is not None:
            body.report(DuplicateName(item.key.span, "id", first.key.span, "set"))
        else:
            first = item
            if word_of(item.value) != "correlation_id":
                found = f"`{item.value.span.text}`"
                body.report(WrongSetting(item.value.span, "id", "`correlation_id`", found, _HINT))
    if first is None:
        body.report(WrongSetting(block.key.span, "sequence", "an `id`", "none", _HINT))
    if body.sequence is not None:
        body.report(DuplicateName(block.key.span, "sequence", body.sequence, "set"))
    body.sequence = block.key.span


def check_sequences(graphs: Iterable[ir.Graph], stages: Mapping[str, ir.Stage], sink: Sink) -> None:
    """Tell what is wrong with sequences in these graphs; a place that several of them hold is told once."""
    told: set[Span | None] = set()
    for graph in graphs:
        _Walk(graph, stages, sink, told).nodes(graph.nodes, _Around())


@dataclass(frozen=True, slots=True)
class _Around:
    """The constructs around a node that matter here; the innermost of each kind."""

    map: bool = False
    hedge: bool = False
    arm: str = ""
    """Of a route without a key, or of a shadow."""
    route: Span | None = None
    keyed: bool = False
    """It is a shadow of a route with a key."""


@dataclass(slots=True)
class _Walk:
    graph: ir.Graph
    stages: Mapping[str, ir.Stage]
    sink: Sink
    told: set[Span | None]
    plain: set[str] = field(default_factory=set)
    """Stages that E0801 was told for."""

    def nodes(self, nodes: Iterable[ir.AnyNode], around: _Around) -> None:
        for node in nodes:
            if isinstance(node, ir.Call):
                stage = self.stages[node.stage]
                if stage.contract.sequence is not None:
                    self._call(node, stage, around)
            elif isinstance(node, ir.Context) and node.what in ("correlation_id", "sequence_start", "sequence_end"):
                self._plain(node, f"`{node.what}()` is that of a sequence's request", None)
            for region, inside in _inside(node, around):
                self.nodes(region.nodes, inside)

    def _call(self, call: ir.Call, stage: ir.Stage, around: _Around) -> None:
        if stage.name not in self.plain:
            self.plain.add(stage.name)
            self._plain(call, f"`{stage.name}` keeps state per sequence", stage.span)
        if call.span is None or call.span in self.told:
            return
        if around.map:
            why = "rows of one request would share a state"
            self._tell(call, SharedState(call.span, stage.name, "`map`", why, "call it once for the request"))
        elif around.hedge:
            why = "two attempts at a time would share a state"
            hint = "leave `hedge` out, or call it outside"
            self._tell(call, SharedState(call.span, stage.name, "a `try` with `hedge`", why, hint))
        elif around.arm:
            hint = "call it outside of the shadow" if around.keyed else "write `route by correlation_id()`"
            self._tell(call, UnpinnedSequence(call.span, stage.name, around.arm, around.route, hint))

    def _plain(self, node: ir.Call | ir.Context, what: str, declared: Span | None) -> None:
        if not self.graph.sequence and node.span is not None and node.span not in self.told:
            self._tell(node, PlainPipeline(node.span, what, self.graph.name, declared))

    def _tell(self, node: ir.Node, mistake: PlainPipeline | SharedState | UnpinnedSequence) -> None:
        self.told.add(node.span)
        self.sink.add(mistake.diagnostic())


def _inside(node: ir.AnyNode, around: _Around) -> Iterable[tuple[ir.Region, _Around]]:
    """The regions of a construct, and what stands around their nodes."""
    if isinstance(node, ir.Route):
        for arm in node.arms:
            pinned = node.key is not None or len(node.arms) == 1
            yield arm.region, around if pinned else replace(around, arm=arm.name, route=node.span)
        for shadow in node.shadows:
            yield shadow.region, replace(around, arm=shadow.name, route=node.span, keyed=True)
        return
    for region in ir.regions(node):
        if isinstance(node, ir.Map):
            yield region, replace(around, map=True)
        elif isinstance(node, ir.Try) and region is node.body and node.hedge_ns is not None:
            yield region, replace(around, hedge=True)
        else:
            yield region, around
