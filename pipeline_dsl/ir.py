"""The checked program: typed stages, and one graph of typed nodes for each public pipeline.

Made by `check` only, so everything in it is proved: names resolve, types agree, there is no cycle. Passes take a
`Graph` and give a `Graph`; `verify` says what must hold between them. Sub-pipelines are inlined; node ids are the
full ids of the language (`embed.encoder`). Dims of a stage's own signature use plain symbols (`L`); dims of values in
a graph use symbols with an origin (`L of embed.tokenize, line 19`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from .sizes import Size
from .source import Span
from .types import TensorType

if TYPE_CHECKING:
    import networkx as nx

Effects = Literal["none", "repeatable", "once"]
Binding = Literal["rows", "lift", "each"]
"""How a call takes its elements (requests; items inside `map`): `rows`, the stage has `*` and each element brings any
number of rows; `lift`, the stage has `*` and each element is one row; `each`, the stage has no `*` and runs once for
each element."""


# ---- stages


@dataclass(frozen=True, slots=True)
class Port:
    """A typed input or output. `default` is a Python value (numpy-free), given where `has_default`."""

    name: str
    type: TensorType
    has_default: bool = False
    default: Any = None
    doc: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Bound:
    """One `where` clause: `left <= right` (also `<`, `==`, `>=`, `>`)."""

    left: Size
    op: str
    right: Size

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


@dataclass(frozen=True, slots=True)
class Signature:
    """The ports of a stage or pipeline, and what `where` says of their sizes."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    bounds: tuple[Bound, ...] = ()

    @property
    def has_rows(self) -> bool:
        """Whether an input or output has the row axis `*`."""
        return any(p.type.has_rows for p in (*self.inputs, *self.outputs))


@dataclass(frozen=True, slots=True)
class RaggedRule:
    """How a stage takes `~dim`."""

    dim: str
    how: Literal["pad", "pack", "reject"]
    value: float | int | str = 0
    """Filled in by `pad`."""
    buckets: tuple[int, ...] = ()
    """Sorted lengths that `pad` rounds up to; none: the longest row."""
    mask: str = ""
    """Input port that receives 1 for real items and 0 for padding, [*, L]."""
    lengths: str = ""
    """Input port that receives the real length of each row, [*]."""
    offsets: str = ""
    """Input port that receives row offsets for `pack`, [rows + 1]."""


@dataclass(frozen=True, slots=True)
class TensorName:
    """The tensor of an artifact that a port stands for. `permute` maps the port's axes to the tensor's."""

    name: str
    permute: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Contract:
    """What is true of a stage's artifact."""

    effects: Effects = "repeatable"
    tensors_in: Mapping[str, TensorName] = field(default_factory=dict)
    tensors_out: Mapping[str, TensorName] = field(default_factory=dict)
    ragged: tuple[RaggedRule, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Path of the class names of an output, absolute or relative to the stage's folder."""
    versions: tuple[int, ...] = ()
    rows: int | None = None
    """Fixed row count of the artifact, where its row axis is not dynamic."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Contract settings that only the backend reads."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage as declared. `name` is unique in the program: `encoder`, `emb.encoder`."""

    name: str
    signature: Signature
    backend: str
    arguments: Mapping[str, Any]
    """Evaluated backend arguments by name; the first positional one is `artifact`."""
    contract: Contract
    folder: str
    """Folder of the file that declares it; its relative paths start there."""
    doc: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)


# ---- graph


@dataclass(frozen=True, slots=True)
class Ref:
    """Output `port` of node `node`."""

    node: str
    port: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known at compile time, as Python data."""

    value: Any
    type: TensorType


Operand = Ref | Constant


@dataclass(frozen=True, slots=True)
class Apply:
    """An operation of `operations.OPERATIONS` on operands: `Apply("+", (Ref, Constant))`."""

    op: str
    args: tuple[Expression, ...]


Expression = Ref | Constant | Apply


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Base of all nodes."""

    id: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input(Node):
    """An input port of the pipeline; its one output has the port's name."""

    port: Port


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """A call site of a stage."""

    stage: str
    binding: Binding
    args: tuple[tuple[str, Operand | None], ...]
    """Every input port of the stage in order; None for an absent optional."""
    results: tuple[tuple[str, TensorType], ...]
    """Every output port of the stage in order, with its type at this call site."""
    version: int | str | None = None
    timeout_ns: int | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute(Node):
    """A scalar expression or built-in function, evaluated for each element on the host. Its output is `value`."""

    expression: Expression
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class Output(Node):
    """An output port of the pipeline."""

    port: Port
    value: Operand


AnyNode = Input | Call | Compute | Output


def references(node: AnyNode) -> Iterator[Ref]:
    """The refs a node reads, in order, repeated ones included."""
    if isinstance(node, Call):
        yield from (o for _, o in node.args if isinstance(o, Ref))
    elif isinstance(node, Compute):
        yield from _leaves(node.expression)
    elif isinstance(node, Output) and isinstance(node.value, Ref):
        yield node.value


def results(node: AnyNode) -> tuple[tuple[str, TensorType], ...]:
    """Port and type of each value a node makes, in port order."""
    if isinstance(node, Input):
        return ((node.port.name, node.port.type),)
    if isinstance(node, Call):
        return node.results
    return (("value", node.type),) if isinstance(node, Compute) else ()


def _leaves(expression: Expression) -> Iterator[Ref]:
    if isinstance(expression, Ref):
        yield expression
    elif isinstance(expression, Apply):
        for arg in expression.args:
            yield from _leaves(arg)


@dataclass(frozen=True)
class Graph:
    """One pipeline. `nodes` are in definition order, which is topological."""

    name: str
    signature: Signature
    nodes: tuple[AnyNode, ...]
    doc: str = ""
    span: Span | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def of(name: str, signature: Signature, nodes: Iterable[AnyNode], doc: str = "", span: Span | None = None) -> Graph:
        """The graph of nodes given in definition order. ValueError if two have one id."""
        graph = Graph(name, signature, tuple(nodes), doc, span)
        if len(graph._by_id) < len(graph.nodes):
            raise ValueError(f"graph `{name}` has two nodes of one id")
        return graph

    @cached_property
    def dag(self) -> nx.DiGraph[str]:
        """The same as a networkx graph over ids: an `AnyNode` as attribute `node`, edges from what it reads."""
        import networkx as nx  # a tenth of the time of checking a file, which does not need it

        dag: nx.DiGraph[str] = nx.DiGraph()
        for node in self.nodes:
            dag.add_node(node.id, node=node)
        for node in self.nodes:
            dag.add_edges_from((ref.node, node.id) for ref in references(node))
        return dag

    @cached_property
    def _by_id(self) -> dict[str, AnyNode]:
        return {node.id: node for node in self.nodes}

    def node(self, id: str) -> AnyNode:
        """The node of an id. KeyError if there is none."""
        return self._by_id[id]

    @property
    def calls(self) -> list[Call]:
        """The call sites, in definition order."""
        return [n for n in self.nodes if isinstance(n, Call)]


# ---- schedule


@dataclass(frozen=True, slots=True)
class SettingValue:
    """One leaf setting and where it came from (`profile gpu, embed.pipe:31`, `default`)."""

    value: Any
    origin: str
    span: Span | None = field(default=None, compare=False, repr=False)


Settings = Mapping[str, SettingValue]
"""Leaf settings by dotted key: `batching.max`, `queue.level.1.timeout`, `device`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the selected profile says, merged: per stage, per call site, per pipeline. Keys without a value are
    absent; `settings.DEFAULTS` holds the defaults."""

    profile: str = ""
    stages: Mapping[str, Settings] = field(default_factory=dict)
    nodes: Mapping[str, Settings] = field(default_factory=dict)
    pipelines: Mapping[str, Settings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParamValue:
    """The value of a param and who gave it."""

    value: Any
    origin: str
    """`--set`, `env PIPE_CANARY`, `profile prod`, `default`."""
    type: TensorType | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Everything `check` proved about one main file and what it imports, for one selected profile."""

    path: str
    stages: Mapping[str, Stage]
    pipelines: Mapping[str, Graph]
    """Public pipelines of the main file, in order."""
    params: Mapping[str, ParamValue]
    schedule: Schedule
    profiles: tuple[str, ...] = ()
    """Names of all profiles of the main file."""
