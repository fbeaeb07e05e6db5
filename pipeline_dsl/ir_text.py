"""A graph as text: one line per node in definition order, equal text for equal graphs.

    pipeline embed(text: string[*]) -> (embedding: f32[*, 384])
      text = input string[*]
      ids = tokenize(text = text) rows
        .ids: i64[*, ~L of tokenize, line 22]
      embedding = encoder(ids = ids.ids) rows timeout=50000000ns
        .vec: f32[*, 384]
      return embedding = embedding.vec

Node ids are shown without the pipeline's name. Goldens and `pipectl plan` print it; `digest` names it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .ir import AnyNode, Call, Compute, Constant, Expression, Graph, Input, Output, Port, Ref, Signature


def to_text(graph: Graph) -> str:
    """The whole graph, ending in a newline."""
    names = _Names(len(graph.name) + 1, frozenset(n.id for n in graph.nodes if isinstance(n, Input)))
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
    """How nodes are called in the text: `skip` characters of an id are the pipeline's name."""

    skip: int
    inputs: frozenset[str]

    def lines(self, node: AnyNode) -> Iterator[str]:
        name = node.id[self.skip :]
        if isinstance(node, Input):
            yield f"{name} = input {node.port.type}"
        elif isinstance(node, Output):
            yield f"return {node.port.name} = {self.expression(node.value)}"
        elif isinstance(node, Compute):
            yield f"{name}: {node.type} = {self.expression(node.expression)}"
        elif isinstance(node, Call):
            yield f"{name} = {self.call(node)}"
            for port, kind in node.results:
                yield f"  .{port}: {kind}"

    def call(self, node: Call) -> str:
        version = "" if node.version is None else f"@{node.version}"
        args = ", ".join(f"{port} = {'absent' if o is None else self.expression(o)}" for port, o in node.args)
        timeout = "" if node.timeout_ns is None else f" timeout={node.timeout_ns}ns"
        priority = "" if node.priority is None else f" priority={node.priority}"
        return f"{node.stage}{version}({args}) {node.binding}{timeout}{priority}"

    def expression(self, expression: Expression) -> str:
        if isinstance(expression, Ref):
            name = expression.node[self.skip :]
            bare = expression.port == "value" or expression.node in self.inputs
            return name if bare else f"{name}.{expression.port}"
        if isinstance(expression, Constant):
            return f"{_value(expression.value)}: {expression.type}"
        args = ", ".join(map(self.expression, expression.args))
        return f"{expression.op}({args})" if expression.op.isidentifier() else f"`{expression.op}`({args})"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)
