"""An ensemble's configuration -> `Ensemble`: steps in order, every tensor made once and before it is read.

What Triton would refuse when it loads the ensemble is a problem here, with the step and the nearest name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import networkx as nx

from pipectl.interop.trees import Names
from pipeline_dsl.spell import did_you_mean

from .dtypes import dtype_of
from .model import Ensemble, Model, Step, Tensor
from .normal import ordered_steps
from .overlay import Data
from .reading import named

Callees = Mapping[str, Model | Ensemble]
"""By their names in Triton."""


@dataclass(slots=True)
class _Wires:
    """Which step makes a tensor, while the steps of an ensemble are read."""

    inputs: set[str]
    made: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def ensemble_of(data: Data, name: str, callees: Callees) -> Ensemble | list[str]:
    """The pipeline of an ensemble, or everything that is wrong with it."""
    taken, given = Names(), Names()
    inputs = tuple(_port(t, f, taken) for t, f in named(data.get("input", {})))
    outputs = tuple(_port(t, f, given) for t, f in named(data.get("output", {})))
    written = data["ensemble_scheduling"].get("step", [])
    wires = _Wires({t.tensor for t in inputs})
    steps = [_step(s, n, callees, wires) for n, s in enumerate(written, 1)]
    _joined(written, outputs, wires)
    if not written:
        wires.problems.append("the ensemble has no steps")
    if wires.problems:
        return wires.problems
    places = {id(step): number for number, step in enumerate(written)}
    order = [places[id(step)] for step in ordered_steps(written)]
    settings = {"max_inflight": limit} if (limit := data["ensemble_scheduling"].get("max_inflight_requests")) else {}
    title = data.get("name", name)
    return Ensemble(
        name,
        data.get("max_batch_size", 0),
        inputs,
        outputs,
        tuple(steps[n] for n in order),
        title if title != name else "",
        settings,
    )


def _port(tensor: str, fields: Data, names: Names) -> Tensor:
    dims = tuple(fields.get("dims", ()))
    optional = fields.get("optional", False)
    return Tensor(names.of(tensor), tensor, dtype_of(fields.get("data_type", "")) or "", dims, optional=optional)


def _step(data: Data, number: int, callees: Callees, wires: _Wires) -> Step:
    model = data.get("model_name", "")
    place = f"step {number} (`{model}`)"
    callee = callees.get(model)
    if callee is None:
        guess = did_you_mean(model, callees)
        wires.problems.append(f"{place}: the repository has no model `{model}`" + (f"; {guess}" if guess else ""))
        for tensor in data.get("output_map", {}).values():
            wires.made.setdefault(tensor, place)
        return Step(model, {}, {})
    inputs = dict(_ports(data.get("input_map", {}), _asked(callee), "input", place, wires))
    outputs = dict(_ports(data.get("output_map", {}), callee.outputs, "output", place, wires))
    for port in _asked(callee):
        if port.port not in inputs and not port.optional:
            wires.problems.append(f"{place}: input `{port.tensor}` is not in its input_map")
    for tensor in outputs.values():
        first = wires.made.setdefault(tensor, place)
        if first is not place:
            wires.problems.append(f"{place}: makes `{tensor}`, which {first} makes already")
        if tensor in wires.inputs:
            wires.problems.append(f"{place}: makes `{tensor}`, which is an input of the ensemble")
    return Step(callee.name, inputs, outputs, max(data.get("model_version", -1), 0))


def _asked(callee: Model | Ensemble) -> tuple[Tensor, ...]:
    """Inputs that a request brings."""
    filled = {p.offsets for p in callee.packings} if isinstance(callee, Model) else set()
    return tuple(t for t in callee.inputs if t.port not in filled)


def _ports(
    given: Mapping[str, str], tensors: tuple[Tensor, ...], side: str, place: str, wires: _Wires
) -> Iterator[tuple[str, str]]:
    """Port and ensemble tensor of each entry of a map."""
    known = {t.tensor: t.port for t in tensors}
    for tensor, wire in given.items():
        if tensor in known:
            yield known[tensor], wire
        else:
            guess = did_you_mean(tensor, known)
            text = f"{place}: its model has no {side} `{tensor}`; {guess or 'it has ' + (', '.join(known) or 'none')}"
            wires.problems.append(text)


def _joined(steps: list[Data], outputs: tuple[Tensor, ...], wires: _Wires) -> None:
    """Every tensor that is read is made, and not from itself."""
    there = {*wires.made, *wires.inputs}
    reads: nx.DiGraph[int] = nx.DiGraph()
    maker = {t: n for n, s in enumerate(steps, 1) for t in s.get("output_map", {}).values()}
    for number, step in enumerate(steps, 1):
        for tensor in step.get("input_map", {}).values():
            if tensor not in there:
                guess = did_you_mean(tensor, there)
                text = f"step {number} (`{step.get('model_name', '')}`): nothing makes `{tensor}`"
                wires.problems.append(f"{text}; {guess}" if guess else text)
            elif tensor in maker:
                reads.add_edge(maker[tensor], number)
    for output in outputs:
        if output.tensor not in there:
            guess = did_you_mean(output.tensor, there)
            wires.problems.append(f"nothing makes the output `{output.tensor}`" + (f"; {guess}" if guess else ""))
    if nx.is_directed_acyclic_graph(reads):
        return
    cycle = [start for start, _ in nx.find_cycle(reads)]
    shown = " -> ".join(f"step {n} (`{steps[n - 1].get('model_name', '')}`)" for n in (*cycle, cycle[0]))
    wires.problems.append(f"steps wait for each other: {shown}")
