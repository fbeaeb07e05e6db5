"""Tensors of one value: `[1]` in a configuration, reshaped to nothing for the model.

The language writes them without dims. Where an ensemble joins one with a tensor that is a real `[1]`, all of them
stay `[1]`, so that the types on both ends of a wire are the same; the reshape is then kept for Triton.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from networkx.utils import UnionFind

from .model import Ensemble, Model, Tensor

Wire = tuple[str, str, str]
"""Name of a model or ensemble; `in`, `out` or `wire`; tensor or port."""


def settled(
    models: Mapping[str, Model], ensembles: Mapping[str, Ensemble]
) -> tuple[dict[str, Model], dict[str, Ensemble]]:
    """The same models and ensembles, in which both ends of every wire are single values or neither is."""
    wires: UnionFind[Wire] = UnionFind()
    for ensemble in ensembles.values():
        for one, other in _joined(ensemble):
            wires.union(one, other)
    single: set[Wire] = set()
    plain: set[Wire] = set()
    for wire, tensor in _ends(models.values()):
        (plain if tensor.dims else single).add(wires[wire])
    for wire, tensor in _ends(ensembles.values()):
        if tensor.dims != (1,):
            plain.add(wires[wire])
    chosen = single - plain

    def alone(owner: str, side: str, tensor: Tensor) -> Tensor:
        dims = () if wires[owner, side, tensor.port] in chosen else tensor.dims or (1,)
        return replace(tensor, dims=dims)

    def side(owner: str, side_: str, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(alone(owner, side_, t) for t in tensors)

    return (
        {n: replace(m, inputs=side(n, "in", m.inputs), outputs=side(n, "out", m.outputs)) for n, m in models.items()},
        {
            n: replace(e, inputs=side(n, "in", e.inputs), outputs=side(n, "out", e.outputs))
            for n, e in ensembles.items()
        },
    )


def _joined(ensemble: Ensemble) -> Iterator[tuple[Wire, Wire]]:
    for tensor in ensemble.inputs:
        yield (ensemble.name, "in", tensor.port), (ensemble.name, "wire", tensor.tensor)
    for tensor in ensemble.outputs:
        yield (ensemble.name, "out", tensor.port), (ensemble.name, "wire", tensor.tensor)
    for step in ensemble.steps:
        for port, wire in step.inputs.items():
            yield (step.stage, "in", port), (ensemble.name, "wire", wire)
        for port, wire in step.outputs.items():
            yield (step.stage, "out", port), (ensemble.name, "wire", wire)


def _ends(owners: Iterable[Model | Ensemble]) -> Iterator[tuple[Wire, Tensor]]:
    for owner in owners:
        yield from (((owner.name, "in", t.port), t) for t in owner.inputs)
        yield from (((owner.name, "out", t.port), t) for t in owner.outputs)
