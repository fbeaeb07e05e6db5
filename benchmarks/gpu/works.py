"""The programs of the benchmark: which stage reads which, as `.pipe` text, and requests for them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pipeline_dsl.check import Options, TextLoader
from pipeline_dsl.compile import compile_text
from pipeline_dsl.plan import Gpu, Hardware, Plan

from .layers import CHANNELS, CLASSES, HIDDEN, WIDTH, Stage

Mode = Literal["apart", "together", "graph"]
"""How stages of one device run: each by itself, several as one, or several as one captured graph."""

ROW = f"f32[*, {WIDTH}]"
IMAGE = "f32[*, 3, 64, 64]"
TYPES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "small": ((ROW,), ROW),
    "stem": ((IMAGE,), f"f32[*, {CHANNELS}, 32, 32]"),
    "tower": ((f"f32[*, {CHANNELS}, 32, 32]",), f"f32[*, {HIDDEN}]"),
    "tokens": ((f"f32[*, {CHANNELS}, 32, 32]",), f"f32[*, 64, {HIDDEN}]"),
    "encode": ((f"f32[*, 64, {HIDDEN}]",), f"f32[*, 64, {HIDDEN}]"),
    "pool": ((f"f32[*, 64, {HIDDEN}]",), f"f32[*, {HIDDEN}]"),
    "head": ((f"f32[*, {HIDDEN}]",) * 2, f"f32[*, {CLASSES}]"),
}
"""Of the inputs and the output of each kind; `join` takes any number of rows."""


@dataclass(frozen=True)
class Node:
    """One stage: its kind, and what it reads; `x` is the request."""

    name: str
    kind: str
    reads: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """One program. The last node is the answer."""

    name: str
    nodes: tuple[Node, ...]

    @property
    def inputs(self) -> str:
        """The type of a request's rows."""
        return types(self.nodes[0])[0][0]

    @property
    def edges(self) -> int:
        """Between stages."""
        return sum(read != "x" for node in self.nodes for read in node.reads)

    def rows(self, count: int, seed: int = 0) -> Any:
        """A request."""
        shape = [int(size) for size in self.inputs.removesuffix("]").split(", ")[1:]]
        return np.random.default_rng(seed).standard_normal((count, *shape), np.float32)

    def stages(self, library: str, on: str) -> dict[str, Stage]:
        """The stages by name, as the engine builds them, to be called by hand."""
        return {n.name: Stage(kind=n.kind, seed=i, library=library, on=on) for i, n in enumerate(self.nodes)}

    def answer(self, stages: Mapping[str, Any], x: Any) -> Any:
        """By calling the stages one after the other."""
        values = {"x": x}
        for node in self.nodes:
            values[node.name] = stages[node.name](**{f"x{i}": values[r] for i, r in enumerate(node.reads)})
        return values[self.nodes[-1].name]

    def critical_path(self, seconds: Mapping[str, float]) -> float:
        """Seconds of the longest way through, where each stage takes as long as `seconds` says."""
        ends = {"x": 0.0}
        for node in self.nodes:
            ends[node.name] = max(ends[read] for read in node.reads) + seconds[node.name]
        return max(ends.values())


def types(node: Node) -> tuple[tuple[str, ...], str]:
    """Of a node's inputs and its output."""
    return ((ROW,) * len(node.reads), ROW) if node.kind == "join" else TYPES[node.kind]


def chain(length: int) -> Work:
    nodes = tuple(Node(f"s{i}", "small", (f"s{i - 1}" if i else "x",)) for i in range(length))
    return Work(f"chain of {length}", nodes)


def diamond(branches: int) -> Work:
    middle = tuple(Node(f"b{i}", "small", ("a",)) for i in range(branches))
    end = Node("z", "join", tuple(node.name for node in middle))
    return Work(f"diamond of {branches}", (Node("a", "small", ("x",)), *middle, end))


def ensemble() -> Work:
    """One image network and one transformer on what a common stem gives."""
    nodes = (
        Node("stem", "stem", ("x",)),
        Node("tower", "tower", ("stem",)),
        Node("tokens", "tokens", ("stem",)),
        Node("encode1", "encode", ("tokens",)),
        Node("encode2", "encode", ("encode1",)),
        Node("pool", "pool", ("encode2",)),
        Node("head", "head", ("tower", "pool")),
    )
    return Work("ensemble", nodes)


def text(work: Work, device: str, library: str, mode: Mode, rows: int, host: Collection[str] = ()) -> str:
    """The program as `.pipe` text, with a profile `bench`. `device`: as profiles write it, `cuda(0)`; `host`: the nodes
    that are on the host nevertheless."""
    lines = ["pipe 1"]
    for i, node in enumerate(work.nodes):
        inputs, output = types(node)
        ports = ", ".join(f"x{j}: {type_}" for j, type_ in enumerate(inputs))
        on = device.replace("(", ":").rstrip(")") if library == "torch" and node.name not in host else "cpu"
        keys = f'kind = "{node.kind}", seed = {i}, library = "{library}", on = "{on}"'
        lines.append(f"stage {node.name}({ports}) -> (y: {output})")
        lines.append(f'  using python("benchmarks.gpu.layers:Stage", {keys}, arrays = "{library}", capture = true)')
    answer = types(work.nodes[-1])[1]
    lines.append(f"pipeline p(x: {_of_a_request(work.inputs)}) -> (out: {_of_a_request(answer)}) {{")
    for node in work.nodes:
        read = ", ".join(r if r == "x" else f"v_{r}" for r in node.reads)
        lines.append(f"  v_{node.name} = {node.name}({read})")
    lines += [f"  return out = v_{work.nodes[-1].name}", "}"]
    settings = {
        "apart": "fuse = false, graphs = off",
        "together": "graphs = off",
        "graph": f"graphs = [{f'{rows - 1}, ' if rows > 1 else ''}{rows}]",  # captured for full batches only
    }[mode]
    lines += ["profile bench {", f"  * {{ device = {device}, batching {{ max = {rows} }}, {settings} }}"]
    return "\n".join([*lines, *(f"  {name} {{ device = cpu }}" for name in sorted(host)), "}", ""])


def _of_a_request(type_: str) -> str:
    return type_.replace("*", "B", 1)


def planned(work: Work, device: str, library: str, mode: Mode, rows: int, host: Collection[str] = ()) -> Plan:
    """The plan of the program. `device`: `cuda:0`, `sim:0`; `host`: the nodes that are on the host nevertheless."""
    kind, _, number = device.partition(":")
    options = Options(environ={}, loader=TextLoader({}), backends=lambda: ("python",), profile="bench")
    gpus = tuple(Gpu(name=f"cuda:{i}", memory=0) for i in range(int(number) + 1)) if kind == "cuda" else ()
    written = text(work, f"{kind}({number})", library, mode, rows, host)
    return compile_text(written, options, Hardware(cores=len(os.sched_getaffinity(0)), gpus=gpus))


def all_works() -> Sequence[tuple[Work, tuple[int, ...]]]:
    """The programs and the rows of their requests."""
    return ((chain(8), (1, 64)), (diamond(2), (1, 64)), (diamond(8), (1, 64)), (ensemble(), (1, 8, 64)))
