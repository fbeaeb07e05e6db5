"""A graph as text: one line per node in definition order, equal text for equal graphs.

    pipeline embed(text: string[*]) -> (embedding: f32[*, 384])
      text = input string[*]
      ids = tokenize(text = text) rows
        .ids: i64[*, ~L of tokenize, line 22]
      embedding = encoder(ids = ids.ids) rows timeout=50000000ns
        .vec: f32[*, 384]
      return embedding = embedding.vec

A construct shows its results, then each region: what it is given, its nodes, what it yields.

      label = map image
        .label: i64[B]
        body
          img = item f32[3, 224, 224]
          s = small(image = img) lift
            .label: i64
          yield s.label

Node ids are shown without the pipeline's name. Goldens and `pipectl plan` print it; `digest` names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .ir import (
    AnyNode,
    Branch,
    Call,
    Collect,
    Compute,
    Constant,
    Context,
    Control,
    Expression,
    Given,
    Graph,
    Input,
    Map,
    Output,
    Port,
    Ref,
    Region,
    Route,
    Signature,
    StreamOf,
    Try,
    regions,
    walk,
)
from .types import TensorType


def to_text(graph: Graph) -> str:
    """The whole graph, ending in a newline."""
    bare = {n.id: n.port.name for n in graph.nodes if isinstance(n, Input)}
    bare |= {n.id: n.id.rpartition(".")[2] for n in walk(graph.nodes) if isinstance(n, Control)}
    names = _Names(len(graph.name) + 1, bare)
    lines = [f"pipeline {graph.name}{signature_text(graph.signature)}"]
    for node in graph.nodes:
        lines += (f"  {line}" for line in names.lines(node))
    return "\n".join(lines) + "\n"


def digest(graph: Graph) -> str:
    """sha256 of the text, in hexadecimal."""
    return hashlib.sha256(to_text(graph).encode()).hexdigest()


def signature_text(signature: Signature) -> str:
    """`(x: f32[*], k: i32 = 3) -> (y: f32[*]) where N <= 100`"""
    inputs, outputs = (", ".join(map(_port, ports)) for ports in (signature.inputs, signature.outputs))
    where = f" where {', '.join(map(str, signature.bounds))}" if signature.bounds else ""
    return f"({inputs}) -> ({outputs}){where}"


def _port(port: Port) -> str:
    default = f" = {_value(port.default)}" if port.has_default else ""
    return f"{port.name}: {port.type}{default}"


@dataclass(frozen=True, slots=True)
class _Names:
    """How nodes are called in the text: `skip` characters of an id are the pipeline's name. `bare` holds the port of
    a node that goes by the node's name alone."""

    skip: int
    bare: Mapping[str, str]

    def lines(self, node: AnyNode) -> Iterator[str]:
        name = node.id[self.skip :]
        match node:
            case Input():
                yield f"{name} = input {node.port.type}"
            case Output():
                yield f"return {node.port.name} = {self.expression(node.value)}"
            case Compute():
                yield f"{name}: {node.type} = {self.expression(node.expression)}"
            case Given():
                yield f"{name} = item {node.type}"
            case Context():
                argument = f'("{node.argument}")' if node.argument else "()"
                yield f"{name}: {node.type} = {node.what}{argument}"
            case Collect():
                yield f"{name}: {node.type} = collect({self.expression(node.source)})"
            case StreamOf():
                yield f"{name}: {node.type} = stream_of({', '.join(map(self.expression, node.elements))})"
            case Call():
                yield f"{name} = {self.call(node)}"
                yield from self.results(node.results)
            case Branch() | Route() | Map() | Try():
                yield f"{name} = {self.head(node)}"
                yield from self.results(node.results)
                for title, region in _titled(node):
                    yield f"  {title}"
                    yield from (f"    {line}" for line in self.region(region))

    def results(self, results: Iterable[tuple[str, TensorType]]) -> Iterator[str]:
        yield from (f"  .{port}: {kind}" for port, kind in results)

    def region(self, region: Region) -> Iterator[str]:
        for node in (*region.given, *region.nodes):
            yield from self.lines(node)
        yield f"yield {', '.join(map(self.expression, region.yields))}".rstrip()

    def head(self, node: Branch | Route | Map | Try) -> str:
        """A construct's word, what it reads itself, and its options."""
        match node:
            case Branch(subject=subject):
                return f"branch {self.expression(subject)}"
            case Route(key=key):
                return "route" if key is None else f"route by {self.expression(key)}"
            case Map():
                options = {
                    "max": node.maximum,
                    "order": None if node.order == "keep" else node.order,
                    "on_error": None if node.on_error == "fail" else node.on_error,
                    "in_flight": node.in_flight,
                    "stream": node.over_stream or None,
                }
                return f"map {', '.join(map(self.expression, node.sources))}{_options(options)}"
            case Try():
                times = {"timeout": node.timeout_ns, "hedge": node.hedge_ns, "first": node.first_ns}
                shown = {name: None if ns is None else f"{ns}ns" for name, ns in times.items()}
                return f"try{_options({**shown, 'retries': node.retries or None})}"

    def call(self, node: Call) -> str:
        version = "" if node.version is None else f"@{node.version}"
        args = ", ".join(f"{port} = {'absent' if o is None else self.expression(o)}" for port, o in node.args)
        timeout = "" if node.timeout_ns is None else f" timeout={node.timeout_ns}ns"
        priority = "" if node.priority is None else f" priority={node.priority}"
        return f"{node.stage}{version}({args}) {node.binding}{timeout}{priority}"

    def expression(self, expression: Expression) -> str:
        if isinstance(expression, Ref):
            name = expression.node[self.skip :]
            bare = expression.port == self.bare.get(expression.node, "value")
            return name if bare else f"{name}.{expression.port}"
        if isinstance(expression, Constant):
            return f"{_value(expression.value)}: {expression.type}"
        args = ", ".join(map(self.expression, expression.args))
        return f"{expression.op}({args})" if expression.op.isidentifier() else f"`{expression.op}`({args})"


def _titled(node: Branch | Route | Map | Try) -> Iterator[tuple[str, Region]]:
    """Each region and what is said about it."""
    match node:
        case Branch(arms=arms):
            for arm in arms:
                values = "else" if arm.values is None else f"case {', '.join(map(_value, arm.values))}"
                yield f"{arm.region.name}: {values}", arm.region
        case Route(arms=routed, shadows=shadows):
            yield from ((f"{arm.name}: share {arm.share:g}", arm.region) for arm in routed)
            yield from ((f"{arm.name}: shadow {arm.sample:g}", arm.region) for arm in shadows)
        case _:
            yield from ((region.name, region) for region in regions(node))


def _options(options: Mapping[str, object]) -> str:
    return "".join(f" {name}={value}" for name, value in options.items() if value is not None)


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)
