"""YAML (or JSON) of InferenceGraphs -> `Graph`s, or everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import networkx as nx
import yaml

from pipectl.errors import ConversionError
from pipectl.interop.texts import text_of
from pipeline_dsl.spell import did_you_mean

from .graph import ROOT, ROUTERS, Graph, Node, Router, Step

MIB = 1
"""Of one file at most."""
_STEP = (
    *("name", "serviceName", "serviceUrl", "nodeName", "condition", "data", "weight", "dependency"),
    "mapPredictionsToInstances",
)


class _Loader(yaml.SafeLoader):
    """The safe loader, which tells a key that is there twice instead of taking the last."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is there twice", key.start_mark)
            seen.add(key.value)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_graphs(path: Path) -> list[Graph]:
    """The graphs of a file. ConversionError if it holds none, or something is wrong with one."""
    documents = [d for d in _documents(path) if isinstance(d, dict) and d.get("kind") == "InferenceGraph"]
    if not documents:
        raise ConversionError(f"{path}: there is no InferenceGraph in it", "`kind: InferenceGraph` says that there is")
    graphs, problems = [], []
    for document in documents:
        try:
            graphs.append(_graph(document))
        except _Problems as found:
            problems += [f"{path}: {text}" for text in found.texts]
    if problems:
        raise ConversionError("\n".join(problems))
    return graphs


def _documents(path: Path) -> list[Any]:
    text = text_of(path, MIB, "InferenceGraph")
    try:
        return list(yaml.load_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise ConversionError(f"{path}{place}: {error.problem or 'this is no YAML'}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConversionError(f"{path}: this is no YAML: {' '.join(str(error).split())[:200]}") from error


# ---- one graph


class _Problems(Exception):
    """All that is wrong with a graph."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(texts)
        self.texts = texts


def _graph(document: dict[str, Any]) -> Graph:
    problems: list[str] = []
    meta, spec = _fields(document.get("metadata")), _fields(document.get("spec"))
    name = str(meta.get("name") or "graph")
    nodes = {str(k): _node(str(k), _fields(v), problems) for k, v in _fields(spec.get("nodes")).items()}
    if ROOT not in nodes:
        guess = did_you_mean(ROOT, nodes) or "the request starts there"
        problems.append(f"graph `{name}` has no node `{ROOT}`; {guess}")
    _targets(nodes, problems)
    timeout = spec.get("timeout", 0)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        problems.append(f"graph `{name}`: timeout needs whole seconds, found {timeout!r}")
    if problems:
        raise _Problems(problems)
    left = tuple(f"spec.{key}" for key in spec if key not in ("nodes", "timeout"))
    mapped = any("mapPredictionsToInstances" in _fields(s) for n in _fields(spec["nodes"]).values() for s in n["steps"])
    left += ("mapPredictionsToInstances",) if mapped else ()
    return Graph(name, str(meta.get("namespace") or "default"), nodes, timeout, left)


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _node(name: str, fields: dict[str, Any], problems: list[str]) -> Node:
    place = f"node `{name}`"
    router = fields.get("routerType")
    if router not in ROUTERS:
        guess = did_you_mean(str(router), ROUTERS) or f"one of {', '.join(ROUTERS)}"
        problems.append(f"{place}: there is no routerType `{router}`; {guess}")
    problems += _unknown(fields, ("routerType", "steps"), place)
    given = fields.get("steps")
    steps = [s for s in given if isinstance(s, dict)] if isinstance(given, list) else []
    if not steps or len(steps) < len(given or ()):
        problems.append(f"{place}: steps needs a list of steps")
    made = tuple(_step(s, f"{place}, step {n}", str(router), problems) for n, s in enumerate(steps, 1))
    names = [s.name for s in made if s.name]
    problems += [f"{place}: two steps are called `{n}`" for n in sorted({n for n in names if names.count(n) > 1})]
    return Node(name, cast(Router, router), made)


def _unknown(fields: dict[str, Any], known: tuple[str, ...], place: str) -> Iterator[str]:
    for key in fields:
        if key not in known:
            yield f"{place}: there is no field `{key}`; " + (did_you_mean(str(key), known) or ", ".join(known))


def _step(fields: dict[str, Any], place: str, router: str, problems: list[str]) -> Step:
    problems += _unknown(fields, _STEP, place)
    targets = [key for key in ("serviceName", "serviceUrl", "nodeName") if fields.get(key)]
    if len(targets) != 1:
        text = "has no target" if not targets else f"has {len(targets)} targets ({', '.join(targets)})"
        problems.append(f"{place} {text}; give one of serviceName, serviceUrl, nodeName")
    data = fields.get("data", "$request")
    if data not in ("$request", "$response"):
        problems.append(f"{place}: data is `{data}`; it can be `$request` or `$response`")
    weight = fields.get("weight", 0)
    if not isinstance(weight, int) or isinstance(weight, bool) or (router == "Splitter" and weight <= 0):
        problems.append(f"{place}: weight needs a whole number from 1 up, found {weight!r}")
        weight = 1
    dependency = fields.get("dependency", "")
    if dependency not in ("", "Hard", "Soft"):
        problems.append(f"{place}: dependency is `{dependency}`; it can be `Hard` or `Soft`")
    return Step(
        str(fields.get("name", "")),
        str(fields.get("serviceName") or ""),
        str(fields.get("serviceUrl") or ""),
        str(fields.get("nodeName") or ""),
        str(fields.get("condition") or ""),
        data == "$response",
        weight,
        cast(Literal["", "Hard", "Soft"], dependency),
    )


def _targets(nodes: dict[str, Node], problems: list[str]) -> None:
    """Nodes that steps name exist, and none calls itself."""
    calls: nx.DiGraph[str] = nx.DiGraph()
    for node, number, step in _node_steps(nodes):
        if step.node not in nodes:
            guess = did_you_mean(step.node, nodes) or f"nodes: {', '.join(nodes)}"
            problems.append(f"node `{node.name}`, step {number}: there is no node `{step.node}`; {guess}")
        else:
            calls.add_edge(node.name, step.node)
    if nx.is_directed_acyclic_graph(calls):
        return
    cycle = [start for start, _ in nx.find_cycle(calls)]
    shown = " -> ".join(f"`{name}`" for name in (*cycle, cycle[0]))
    problems.append(f"nodes call each other: {shown}")


def _node_steps(nodes: dict[str, Node]) -> Iterator[tuple[Node, int, Step]]:
    for node in nodes.values():
        for number, step in enumerate(node.steps, 1):
            if step.node:
                yield node, number, step
