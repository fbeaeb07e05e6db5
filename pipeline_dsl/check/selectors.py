"""What a block of a profile addresses: a stage, one version of it, a pipeline, or one call site (E0601, W0210)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import AnonymousNode, SelectorMatchesNothing
from pipeline_dsl.source import Span

from .programs import scopes_of
from .scope import (
    ErrorBinding,
    Imported,
    ModuleBinding,
    PipelineBinding,
    Scope,
    StageBinding,
    ValueBinding,
)


@dataclass(frozen=True, slots=True)
class Everything:
    """`*`"""


@dataclass(frozen=True, slots=True)
class Stages:
    """A stage; `key` has the version if the block is for one: `ranker@4`."""

    name: str
    stage: ir.Stage
    key: str


@dataclass(frozen=True, slots=True)
class Pipelines:
    """A public pipeline."""

    name: str


@dataclass(frozen=True, slots=True)
class Nodes:
    """One call site."""

    id: str
    backend: str


Selected = Everything | Stages | Pipelines | Nodes


class Selectors:
    """Everything that profiles of a main file can address, indexed once."""

    def __init__(self, scope: Scope, graphs: Mapping[str, ir.Graph]) -> None:
        self.scope = scope
        self.graphs = graphs
        self.stages: dict[str, ir.Stage] = {b.stage.name: b.stage for b in _stage_bindings(scope)}
        self.calls: dict[str, ir.Call] = {call.id: call for g in graphs.values() for call in g.calls}
        self.by_arm: dict[str, str] = {id: name for g in graphs.values() for id, name in _named_by_arm(g.nodes)}
        """Nodes whose ids name an arm, and what they are called there."""
        self.constructs = {node.id: _of_construct(node) for g in graphs.values() for node in ir.walk(g.nodes)}
        """What is said of a node that is no call."""

    @property
    def params(self) -> tuple[str, ...]:
        """Full names of all params, those with mistakes included."""
        return tuple(
            scope.qualify(name)
            for scope in scopes_of(self.scope)
            for name, found in scope.names.items()
            if not isinstance(found, Imported) and isinstance(found.decl, syntax.Param)
        )

    def param(self, key: syntax.Key) -> ValueBinding | ErrorBinding | None:
        """The param that a top-level `NAME = value` means."""
        found = self._find(key.parts)
        if isinstance(found, ErrorBinding) and isinstance(found.decl, syntax.Param):
            return found
        return found if isinstance(found, ValueBinding) and found.is_param else None

    def select(self, item: syntax.Nested, sink: Sink) -> Selected | None:
        """What a block addresses; None after E0601, or silently for what has mistakes of its own."""
        text = str(item.key)
        found = self._find(item.key.parts)
        if isinstance(found, ErrorBinding) or self._broken(item.key.parts):
            return None
        if isinstance(found, StageBinding):
            return self._stage(found.stage, item, sink)
        if isinstance(found, PipelineBinding) and item.version is None and not found.decl.private:
            if found.name in self.graphs:
                return Pipelines(found.name)
            if found.scope is self.scope:
                return None  # its graph has mistakes
        if item.version is None and text in self.calls:
            return self._node(self.calls[text], item.key.span, sink)
        if text in self.stages:
            return self._stage(self.stages[text], item, sink)
        note = self.constructs.get(text) or _note(found, text)
        sink.add(SelectorMatchesNothing(item.key.span, text, self._candidates(text), note).diagnostic())
        return None

    def _find(self, parts: tuple[str, ...]) -> object:
        scope = self.scope
        for part in parts[:-1]:
            module = scope.lookup(part)
            if not isinstance(module, ModuleBinding):
                return module if isinstance(module, ErrorBinding) else None
            scope = module.scope
        return scope.lookup(parts[-1])

    def _broken(self, parts: tuple[str, ...]) -> bool:
        """A node of a pipeline that could not be made: its nodes are not known."""
        first = self.scope.lookup(parts[0])
        return (
            len(parts) > 1
            and isinstance(first, PipelineBinding)
            and not first.decl.private
            and first.name not in self.graphs
        )

    def _stage(self, stage: ir.Stage, item: syntax.Nested, sink: Sink) -> Selected | None:
        if item.version is None:
            return Stages(stage.name, stage, stage.name)
        if item.version in stage.contract.versions:
            return Stages(stage.name, stage, f"{stage.name}@{item.version}")
        text = f"{item.key}@{item.version}"
        known = tuple(f"{item.key}@{v}" for v in stage.contract.versions)
        note = f"versions of `{stage.name}`: {', '.join(map(str, stage.contract.versions)) or 'none'}"
        sink.add(SelectorMatchesNothing(_selector(item), text, known, note).diagnostic())
        return None

    def _node(self, call: ir.Call, span: Span, sink: Sink) -> Nodes:
        if is_anonymous(call) or call.id in self.by_arm:
            sink.add(AnonymousNode(span, call.id, call.span, self.by_arm.get(call.id, "")).diagnostic())
        return Nodes(call.id, self.stages[call.stage].backend)

    def _candidates(self, text: str) -> tuple[str, ...]:
        """Names that could have been meant: nodes only for a text with a dot."""
        names = (*self.stages, *self.graphs)
        return (*names, *self.calls) if "." in text else names


def _selector(item: syntax.Nested) -> Span:
    """`encoder@5` without its block."""
    key, block = item.key.span, item.block.span
    text = key.source.text[key.start : block.start].rstrip()
    return Span(key.source, key.start, key.start + len(text)) if text else key


def is_anonymous(call: ir.Call) -> bool:
    """Whether a node is named after the stage it calls and a number: `p.encoder_1`."""
    prefix, _, number = call.id.rpartition(".")[2].rpartition("_")
    return prefix == call.stage.rpartition(".")[2] and number.isdecimal()


def _of_construct(node: ir.AnyNode) -> str:
    if not isinstance(node, ir.Control):
        return ""
    return f"`{node.id}` is a construct: its options stand in the text, and a profile addresses the calls in it"


def _named_by_arm(nodes: Iterable[ir.AnyNode]) -> Iterator[tuple[str, str]]:
    """Calls in arms whose names stand elsewhere too: `p.x.else.y` and `y`."""
    for node in nodes:
        for region in ir.regions(node):
            prefix = f"{node.id}.{region.name}."
            for inner in region.nodes:
                if inner.id.startswith(prefix):
                    yield inner.id, inner.id.removeprefix(prefix)
            yield from _named_by_arm(region.nodes)


def _note(found: object, text: str) -> str:
    if isinstance(found, PipelineBinding) and found.decl.private:
        return f"`{text}` is private: address its nodes inside the pipelines that call it"
    if isinstance(found, PipelineBinding):
        return f"`{text}` is a pipeline of another file: only pipelines of this one are served"
    return ""


def _stage_bindings(scope: Scope) -> Iterator[StageBinding]:
    for each in scopes_of(scope):
        yield from (b for b in each.names.values() if isinstance(b, StageBinding))
