"""Blocks of settings -> topics for their keys, and occurrences where a key or a value names something.

A key is explained by the table of its place. Where the table has a `*` the file chooses the name, and that is a port or
a size of the stage: `tensors { hidden = ".." }`, `ragged { L = pad(0) }`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl import syntax
from pipeline_dsl.settings import KeySpec, KeyTree, tree
from pipeline_dsl.source import Span

from .definitions import Definition, Topic
from .expressions import expression, type_
from .found import Found
from .names import Callee, Names, callee_in, callee_of, definition_in, module_of, of_port, port_in
from .spans import key_parts, part

_PORT_LISTS = frozenset({"cache.key"})
_CONTROLS = frozenset({"sequence.start", "sequence.end", "sequence.ready", "sequence.id"})
"""Keys whose string is the name of an input, where there is one."""
_SIZE_BLOCKS = frozenset({"ragged", "warmup"})


@dataclass(frozen=True, slots=True)
class Place:
    """A block: the keys it may have, and the stage it is about."""

    keys: KeyTree
    names: Names
    stage: Callee | None = None


def backend_of(stage: syntax.Stage | syntax.Pipeline) -> str:
    """The name in `using name(..)`; "" for a pipeline."""
    if isinstance(stage, syntax.Pipeline):
        return ""
    callee = stage.using.callee
    return callee.text if isinstance(callee, syntax.Name) else ""


def settings(block: syntax.Block, place: Place, found: Found, above: tuple[str, ...] = ()) -> None:
    """The items of a block of settings."""
    for item in block.items:
        if isinstance(item, syntax.State):
            _state(item, place, found)
            continue
        path = above
        for name, span in zip(item.key.parts, key_parts(item.key), strict=False):
            path = (*path, name)
            _key(path, span, place, found)
        if isinstance(item, syntax.Nested):
            inner = path if item.version is None else (*path, str(item.version))
            settings(item.block, place, found, inner)
        else:
            _value(path, item.value, place, found)


def _state(item: syntax.State, place: Place, found: Found) -> None:
    owner = place.stage.shown if place.stage else ""
    found.define(Definition("state", item.name.text, item.name.span, item.span, item, owner))
    type_(item.type, place.names, found)
    if item.init is not None:
        expression(item.init, place.names, found)


def _key(path: tuple[str, ...], span: Span, place: Place, found: Found) -> None:
    spec = place.keys.find(path)
    if isinstance(spec, int):
        return
    literal = ".".join(path) == spec.name if isinstance(spec, KeySpec) else True
    if literal or place.stage is None:
        name = ".".join(path)
        if isinstance(spec, KeySpec):
            found.explain(Topic(span, "setting", name, spec))
        else:
            found.explain(Topic(span, "block", name, inside=place.keys.allowed(path)))
    elif path[0] in _SIZE_BLOCKS:
        found.refer(span, size_of(place.stage, path[-1]))
    else:
        found.refer(span, _port(place.stage, path))


def _port(stage: Callee, path: tuple[str, ...]) -> Definition | None:
    """The port that the last part of a key names; `tensors.out` and `labels` mean outputs."""
    inputs = of_ports(stage, "input", path[-1])
    outputs = of_ports(stage, "output", path[-1])
    return outputs or inputs if path[0] == "labels" or path[:2] == ("tensors", "out") else inputs or outputs


def of_ports(stage: Callee, kind: str, text: str) -> Definition | None:
    """An input or output of a stage by its name."""
    port = port_in(stage.inputs if kind == "input" else stage.outputs, text)
    if port is None:
        return None
    return of_port(port, "input" if kind == "input" else "output", stage.shown)


def size_of(stage: Callee, text: str) -> Definition | None:
    """Where a size of a stage's signature is mentioned first."""
    for port in (*stage.inputs, *stage.outputs):
        for dim in port.type.dims:
            if isinstance(dim, syntax.RaggedDim | syntax.SizedDim):
                span = _mention(dim.size, text)
                if span is not None:
                    return Definition("size", text, span, dim.span, owner=stage.shown)
    return None


def _mention(size: syntax.DimSize, text: str) -> Span | None:
    if isinstance(size, syntax.DimOp):
        return _mention(size.left, text) or _mention(size.right, text)
    return size.span if isinstance(size, syntax.DimVar) and size.name == text else None


def _value(path: tuple[str, ...], value: syntax.Expr, place: Place, found: Found) -> None:
    """The value of a setting: its words are words; the names in `cache.key` and in a `ragged` rule are ports."""
    spec = place.keys.find(path)
    words = spec.words if isinstance(spec, KeySpec) else ()
    ports = ".".join(path) in _PORT_LISTS
    if isinstance(value, syntax.Name) and value.text in words:
        return
    if place.stage is not None and ".".join(path) in _CONTROLS and isinstance(value, syntax.Literal):
        inside = part(value.span, 1, len(value.span.text) - 1)
        found.refer(inside, of_ports(place.stage, "input", str(value.value)))
    if place.stage is not None and (ports or path[0] == "ragged"):
        for name in _names(value):
            found.refer(name.span, of_ports(place.stage, "input", name.text))
        return
    expression(value, place.names, found)


def _names(value: syntax.Expr) -> list[syntax.Name]:
    match value:
        case syntax.Name():
            return [value]
        case syntax.ListExpr(items=items):
            return [item for item in items if isinstance(item, syntax.Name)]
        case syntax.Call(args=args):
            return [a.value for a in args if isinstance(a.value, syntax.Name)]
    return []


def block_values(block: syntax.Block, names: Names, found: Found) -> None:
    """Only what the values mention, for blocks whose keys no table explains."""
    for item in block.items:
        if isinstance(item, syntax.Setting):
            expression(item.value, names, found)
        elif isinstance(item, syntax.Nested):
            block_values(item.block, names, found)


# ---- profiles


def profile(decl: syntax.Profile, names: Names, found: Found) -> None:
    """The params, stages, pipelines and nodes that a profile is about, and its settings."""
    for item in decl.items:
        match item:
            case syntax.Everywhere(block=block):
                settings(block, Place(tree("stage"), names), found)
            case syntax.Setting(key=key, value=value):
                _selector(key, names, found)
                expression(value, names, found)
            case syntax.Nested(key=key, block=block):
                settings(block, _selector(key, names, found), found)


def _selector(key: syntax.Key, names: Names, found: Found) -> Place:
    """Follows `emb.encoder`, `pipeline.node`, `pipeline.node.inner`; gives the keys that may be set there."""
    scope = names.scope
    parts = list(zip(key.parts, key_parts(key), strict=False))
    callee: Callee | None = None
    while parts and callee is None:
        name, span = parts.pop(0)
        found.refer(span, definition_in(scope, name))
        callee = callee_in(scope, name)
        scope = module_of(scope, name) or scope
    whole = not parts
    for name, span in parts:
        node = _node(callee, name, found) if callee is not None else None
        found.refer(span, node)
        made = found.nodes.get(node) if node is not None else None
        callee = callee_of(made.callee, Names(callee.scope, span)) if made is not None and callee is not None else None
    if callee is not None and isinstance(callee.decl, syntax.Pipeline):
        return Place(tree("pipeline" if whole else "stage"), names)
    backend = backend_of(callee.decl) if callee is not None else ""
    return Place(tree("stage", backend), names, callee)


def _node(pipeline: Callee, name: str, found: Found) -> Definition | None:
    """A variable of a pipeline of this file, or an output that is returned by name."""
    if not isinstance(pipeline.decl, syntax.Pipeline):
        return None
    span = pipeline.decl.body.span
    for region in found.regions:
        inside = region.span.source is span.source and span.start <= region.span.start <= span.end
        if inside and name in region.local:
            return region.local[name]
    return of_ports(pipeline, "output", name)
