"""Sequences in a pipeline: its own `sequence { id = correlation_id }`, and where sequence stages may stand.

A request of a sequence runs a sequence stage once: not for each item of a `map`, not in two attempts side by side
(E0802), not in an arm that its next request may not take (E0803). A pipeline that reaches one takes sequences (E0801).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pipeline_dsl import ir, syntax
from pipeline_dsl.errors import Mistake
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
    if body.shared.sequence is not None:
        body.report(DuplicateName(block.key.span, "sequence", body.shared.sequence, "set"))
    body.shared.sequence = block.key.span


def sequence_mistakes(graph: ir.Graph, stages: Mapping[str, ir.Stage]) -> Iterator[Mistake]:
    """What is wrong with sequences in a graph."""
    walk = _Walk(graph, stages)
    yield from walk.nodes(graph.nodes, _Around())


@dataclass(frozen=True, slots=True)
class _Around:
    """The constructs around a node that matter here; the innermost of each kind."""

    map: bool = False
    hedge: bool = False
    arm: str = ""
    """Of a route without a key."""
    shadow: str = ""
    route: Span | None = None
    """That of the arm or the shadow."""


@dataclass(slots=True)
class _Walk:
    graph: ir.Graph
    stages: Mapping[str, ir.Stage]
    told: set[str] = field(default_factory=set)
    """What E0801 was told for: a stage, a function."""

    def nodes(self, nodes: Iterable[ir.AnyNode], around: _Around) -> Iterator[Mistake]:
        for node in nodes:
            if isinstance(node, ir.Call) and self.stages[node.stage].contract.sequence is not None:
                stage = self.stages[node.stage]
                yield from self._plain(node, f"`{stage.name}` keeps state per sequence", stage.span)
                yield from _misplaced(node, around)
            elif isinstance(node, ir.Context) and node.what in _OF_SEQUENCES:
                yield from self._plain(node, f"`{node.what}()` asks for the sequence of a request", None)
            for region, inside in _inside(node, around):
                yield from self.nodes(region.nodes, inside)

    def _plain(self, node: ir.Call | ir.Context, what: str, declared: Span | None) -> Iterator[Mistake]:
        if not self.graph.sequence and what not in self.told and node.span is not None:
            self.told.add(what)
            yield PlainPipeline(node.span, what, self.graph.name, declared)


_OF_SEQUENCES = ("correlation_id", "sequence_start", "sequence_end")


def _misplaced(call: ir.Call, around: _Around) -> Iterator[Mistake]:
    """A sequence stage where one request, or one sequence, does not stay with one state."""
    assert call.span is not None, "calls of the text have a place"
    if around.map:
        why = "the items of one request would share a state"
        yield SharedState(call.span, call.stage, "`map`", why, "call it once for the request")
    elif around.hedge:
        why = "two attempts at a time would share a state"
        yield SharedState(call.span, call.stage, "a `try` with `hedge`", why, "leave `hedge` out, or call it outside")
    elif around.shadow:
        why = f"shadow `{around.shadow}` runs behind the requests, and not for all of them"
        yield UnpinnedSequence(call.span, call.stage, why, None, "call it outside of the shadow")
    elif around.arm:
        why = f"a sequence must stay on one arm, and `{around.arm}` is chosen anew for each request"
        yield UnpinnedSequence(call.span, call.stage, why, around.route, "write `route by correlation_id()`")


def _inside(node: ir.AnyNode, around: _Around) -> Iterator[tuple[ir.Region, _Around]]:
    """The regions of a construct, and what stands around their nodes."""
    if isinstance(node, ir.Route):
        pinned = node.key is not None or len(node.arms) == 1
        for arm in node.arms:
            yield arm.region, around if pinned else replace(around, arm=arm.name, route=node.span)
        for shadow in node.shadows:
            yield shadow.region, replace(around, shadow=shadow.name)
        return
    for region in ir.regions(node):
        if isinstance(node, ir.Map):
            yield region, replace(around, map=True)
        elif isinstance(node, ir.Try) and region is node.body and node.hedge_ns is not None:
            yield region, replace(around, hedge=True)
        else:
            yield region, around
