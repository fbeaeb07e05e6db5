"""Checked graphs -> one module: a stage for each service, a private pipeline for each node, `root` public. Pure.

Everything is `json`: a node's steps take the request's body and give bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipectl.errors import ConversionError
from pipectl.interop import trees
from pipectl.interop.remarks import Remark
from pipeline_dsl import syntax

from .conditions import condition_of
from .graph import ROOT, Graph, Node, Step

REQUEST, RESPONSE = "request", "response"
PROFILE = "kserve"


@dataclass(slots=True)
class _Draft:
    """A module in the making."""

    names: trees.Names = field(default_factory=lambda: trees.Names("json_get", "present", "format", "cast"))
    stages: dict[str, syntax.Stage] = field(default_factory=dict)
    """By address."""
    remarks: list[Remark] = field(default_factory=list)


def imported(graphs: Iterable[Graph]) -> tuple[syntax.Module, list[Remark]]:
    """The module of some graphs, and remarks. ConversionError for a condition that can not be said."""
    draft = _Draft()
    pipelines: list[syntax.Pipeline] = []
    blocks = []
    for graph in graphs:
        root = draft.names.fresh(graph.name)
        about = f"graph `{graph.name}`"
        nodes = {name: root if name == ROOT else draft.names.fresh(name) for name in graph.nodes}
        made = [_pipeline(node, nodes, graph, draft) for node in graph.nodes.values()]
        pipelines += sorted(made, key=lambda p: not p.private)
        if graph.timeout:
            setting = trees.setting("timeout", trees.duration(graph.timeout * 10**9))
            blocks.append(trees.nested(root, setting))
        if root != graph.name:
            draft.remarks.append(Remark(about, f"is `{root}` here: the language takes letters, digits and _ only"))
        draft.remarks += [Remark(about, f"`{key}` has no equal here and is left out") for key in graph.left_out]
        if any(not s.dependency for n in graph.nodes.values() for s in n.steps):
            text = "the failure of a step without `dependency` ends its request; KServe hands its answer on"
            draft.remarks.append(Remark(about, text))
    decls: list[syntax.Decl] = [*draft.stages.values(), *pipelines]
    if blocks:
        decls.append(syntax.Profile(trees.ident(PROFILE), (), tuple(blocks), span=trees.NOWHERE))
    return trees.module(decls), draft.remarks


# ---- nodes


@dataclass(slots=True)
class _Body:
    """The statements of one node."""

    node: Node
    nodes: dict[str, str]
    graph: Graph
    draft: _Draft
    names: trees.Names = field(default_factory=lambda: trees.Names(REQUEST, RESPONSE))


def _pipeline(node: Node, nodes: dict[str, str], graph: Graph, draft: _Draft) -> syntax.Pipeline:
    body = _Body(node, nodes, graph, draft)
    made = {"Sequence": _sequence, "Switch": _switch, "Ensemble": _ensemble, "Splitter": _splitter}[node.router]
    return syntax.Pipeline(
        node.name != ROOT,
        trees.ident(nodes[node.name]),
        _signature(),
        (),
        trees.body(*made(body)),
        span=trees.NOWHERE,
    )


def _signature() -> syntax.Signature:
    """Of every stage and pipeline."""
    body = trees.type_("json")
    return syntax.Signature((trees.port(REQUEST, body),), (trees.port(RESPONSE, body),), span=trees.NOWHERE)


def _sequence(body: _Body) -> Iterator[syntax.Statement]:
    """Steps one after the other; one with a condition makes itself and the rest an arm of `if`."""
    made, variable = _from(body, 0, REQUEST)
    yield from made
    yield trees.returns(trees.out(trees.name(variable), RESPONSE))


def _from(body: _Body, first: int, before: str) -> tuple[list[syntax.Statement], str]:
    """The steps from a number on, and the variable of their answer. `before`: of the answer so far."""
    made: list[syntax.Statement] = []
    for number, step in enumerate(body.node.steps[first:], first):
        if step.condition and number:
            value: syntax.Rhs = _conditional(body, number, before)
            variable = body.names.fresh("rest")
            return [*made, trees.assign([variable], value)], variable
        statement, before = _one(body, number, before)
        made.append(statement)
    return made, before


def _one(body: _Body, number: int, before: str) -> tuple[syntax.Statement, str]:
    step = body.node.steps[number]
    variable = body.names.fresh(step.name or f"step_{number + 1}")
    return trees.assign([variable], _result(step, before if step.response else REQUEST, body)), variable


def _conditional(body: _Body, number: int, before: str) -> syntax.If:
    """The rest of a sequence where the condition holds for the answer so far, else that answer."""
    condition = _condition(body, number, before)
    statement, variable = _one(body, number, before)
    rest, variable = _from(body, number + 1, variable)
    inner = trees.body(statement, *rest, trees.yields(trees.out(trees.name(variable))))
    otherwise = trees.body(trees.yields(trees.out(trees.name(before))))
    return syntax.If(condition, inner, otherwise, span=trees.NOWHERE)


def _switch(body: _Body) -> Iterator[syntax.Statement]:
    """The first step whose condition holds; an answer that says so where none does."""
    steps = body.node.steps
    always = next((n for n, s in enumerate(steps) if not s.condition), len(steps))
    other: syntax.Body | syntax.If = _arm(steps[always], body) if always < len(steps) else _none(body)
    for number in reversed(range(always)):
        condition = _condition(body, number, REQUEST)
        other = syntax.If(condition, _arm(steps[number], body), other, span=trees.NOWHERE)
    if isinstance(other, syntax.If):
        yield trees.assign([RESPONSE], other)
        yield trees.returns(trees.out(trees.name(RESPONSE)))
    else:
        yield trees.assign([RESPONSE], _result(steps[0], REQUEST, body))
        yield trees.returns(trees.out(trees.name(RESPONSE)))


def _none(body: _Body) -> syntax.Body:
    text = f"no condition of `{body.node.name}` holds"
    body.draft.remarks.append(
        Remark(f"graph `{body.graph.name}`", f"node `{body.node.name}` answers {text!r} where KServe gives an error")
    )
    return trees.body(trees.yields(trees.out(trees.data({"error": text}))))


def _ensemble(body: _Body) -> Iterator[syntax.Statement]:
    """All steps at once; the answer is an object by their names, or numbers."""
    found: list[tuple[str, syntax.Expr]] = []
    for number, step in enumerate(body.node.steps):
        variable = body.names.fresh(step.name or f"step_{number + 1}")
        yield trees.assign([variable], _result(step, REQUEST, body))
        found.append((step.name or str(number), trees.name(variable)))
    joined = syntax.ObjectExpr(tuple(found), span=trees.NOWHERE)
    yield trees.returns(trees.out(joined, RESPONSE))


def _splitter(body: _Body) -> Iterator[syntax.Statement]:
    steps = body.node.steps
    percent = sum(s.weight for s in steps) == 100
    arms = tuple(
        syntax.RouteArm(
            trees.ident(body.names.fresh(s.name or s.service or s.node or f"step_{n}")),
            trees.percent(s.weight) if percent else trees.number(s.weight),
            _arm(s, body),
            span=trees.NOWHERE,
        )
        for n, s in enumerate(steps, 1)
    )
    yield trees.assign([RESPONSE], syntax.Route(None, arms, span=trees.NOWHERE))
    yield trees.returns(trees.out(trees.name(RESPONSE)))


# ---- steps


def _arm(step: Step, body: _Body) -> syntax.Body:
    value = _result(step, REQUEST, body)
    if isinstance(value, syntax.Try):
        variable = body.names.fresh("tried")
        return trees.body(trees.assign([variable], value), trees.yields(trees.out(trees.name(variable))))
    return trees.body(trees.yields(trees.out(value)))


def _result(step: Step, given: str, body: _Body) -> syntax.Call | syntax.Try:
    """What a step gives; of a soft one also where it fails."""
    call = trees.call(_target(step, body), trees.name(given))
    if step.dependency != "Soft":
        return call
    tried = trees.body(trees.yields(trees.out(call)))
    fallback = trees.body(trees.yields(trees.out(trees.name("error"))))
    return syntax.Try((), tried, trees.ident("error"), fallback, span=trees.NOWHERE)


def _target(step: Step, body: _Body) -> str:
    if step.node:
        return body.nodes[step.node]
    address = step.url or f"http://{step.service}.{body.graph.namespace}.svc.cluster.local"
    draft = body.draft
    if address not in draft.stages:
        name = draft.names.fresh(step.service or step.name or "service")
        model = {"model": trees.text(step.service)} if step.service else {}
        draft.stages[address] = syntax.Stage(
            trees.ident(name),
            _signature(),
            None,
            (),
            trees.call("remote", trees.text(address), **model),
            None,
            span=trees.NOWHERE,
        )
    return draft.stages[address].name.text


def _condition(body: _Body, number: int, value: str) -> syntax.Expr:
    text = body.node.steps[number].condition
    made = condition_of(text, value)
    if made is None:
        place = f"graph `{body.graph.name}`, node `{body.node.name}`, step {number + 1}"
        raise ConversionError(
            f"{place}: the condition `{text}` has no equal here",
            'a path, or a comparison like [@this].#(user.tier=="gold"), can be converted; search lists in a stage',
        )
    return made
