"""Both directions of one pipeline: tensors of a request to the engine's inputs, its answer to tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backends.values import Array, Value
from executor.errors import InvalidArgument
from executor.streaming.pieces import together
from pipeline_dsl.plan import PipelinePlan
from pipeline_dsl.spell import did_you_mean
from serving.tensors import TensorIn, TensorOut, Wanted

from .classes import classified
from .inputs import LENGTHS, InputPort, lengths_of
from .outputs import OutputPort

Memory = Callable[[TensorIn], TensorIn]
"""Puts the bytes of a region of shared memory in a tensor's place."""


class PipelineCodec:
    """Made once for a pipeline; safe to use from several threads."""

    __slots__ = ("_inputs", "_lengths", "_order", "_outputs", "groups", "name", "streams")

    def __init__(self, plan: PipelinePlan) -> None:
        self.name = plan.name
        self._inputs = {p.name: InputPort(p) for p in plan.inputs}
        self._lengths = {name + LENGTHS for name, port in self._inputs.items() if port.ragged_axes}
        self._outputs = {p.name: OutputPort(p) for p in plan.outputs}
        self._order = {name: i for i, name in enumerate(self._outputs)}
        self.groups = together(plan)
        """For each output that is a stream, which others its elements come with."""
        self.streams = bool(self.groups)
        """It gives any number of responses for one request."""

    def inputs(self, tensors: Sequence[TensorIn], memory: Memory) -> dict[str, Value]:
        """Values by port name. InvalidArgument names the tensor at fault."""
        found: dict[str, Value] = {}
        lengths = self._given_lengths(tensors, memory) if self._lengths else None
        ports = self._inputs
        for tensor in tensors:
            port = ports.get(tensor.name)
            if port is None:
                if lengths is None or tensor.name not in lengths:
                    raise InvalidArgument(self._unknown("input", tensor.name, [*ports, *self._lengths]))
                continue
            if tensor.name in found:
                raise InvalidArgument(f"input `{tensor.name}` is given twice")
            if tensor.parameters:
                tensor = memory(tensor)
            rows = lengths.get(tensor.name + LENGTHS) if lengths is not None else None
            found[tensor.name] = port.value(tensor, rows)
        return found

    def _given_lengths(self, tensors: Sequence[TensorIn], memory: Memory) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for tensor in tensors:
            if tensor.name in self._lengths:
                if tensor.name in found:
                    raise InvalidArgument(f"input `{tensor.name}` is given twice")
                found[tensor.name] = lengths_of(memory(tensor) if tensor.parameters else tensor)
        return found

    def wanted(self, outputs: Sequence[Wanted]) -> tuple[str, ...] | None:
        """Ports to compute, in the pipeline's order; None: all. InvalidArgument for a name it has not, or twice."""
        if not outputs:
            return None
        names = set()
        seen = set()
        for name, _ in outputs:
            if name in seen:
                raise InvalidArgument(f"output `{name}` is asked for twice")
            seen.add(name)
            port = name.removesuffix(LENGTHS) if name not in self._outputs else name
            if port not in self._outputs or (port != name and not self._outputs[port].ragged_axes):
                raise InvalidArgument(self._unknown("output", name, self._outputs))
            names.add(port)
        return tuple(sorted(names, key=self._order.__getitem__))

    def streaming(self, wanted: Sequence[str] | None) -> bool:
        """Whether one of these outputs is a stream; None: of all."""
        return self.streams and (wanted is None or any(name in self.groups for name in wanted))

    def outputs(self, values: Mapping[str, Value], wanted: Sequence[Wanted]) -> list[TensorOut]:
        """The tensors of an answer, in the pipeline's order."""
        ports = self._outputs
        found = [tensor for name in values for tensor in ports[name].tensors(values[name])]
        if not wanted:
            return found
        classes = {name: given["classification"] for name, given in wanted if "classification" in given}
        return [self._classified(t, classes[t.name]) if t.name in classes else t for t in found]

    def _classified(self, tensor: TensorOut, top: object) -> TensorOut:
        port = self._outputs.get(tensor.name)
        if port is None:
            raise InvalidArgument(f"output `{tensor.name}`: classification is for the values, not their lengths")
        return classified(tensor, top, rows=port.type.has_rows, labels=port.labels)

    def _unknown(self, what: str, name: str, known: Any) -> str:
        shown = name if len(name) <= 80 and name.isprintable() else repr(name[:80])
        return f"there is no {what} `{shown}`; {did_you_mean(name, known) or f'{what}s: ' + ', '.join(known)}"
