"""What the devices of a profile mean for its stages and values: E0607, W0501, W0602.

A GPU must be there, if the machine is known. What a GPU makes should stay there: an expression waits for it on the
host, and a stage elsewhere has it copied. The way to a GPU and the way out of the pipeline are free of warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from pipeline_dsl import ir
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.placement import DeviceCopy, DeviceRead, NoSuchDevice
from pipeline_dsl.plan import Hardware
from pipeline_dsl.row_bytes import row_bytes
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.source import Span
from pipeline_dsl.types import Ragged, Sized, TensorType
from pipeline_dsl.units import bytes_text

from .ragged import upper_bound

LARGE = 64 << 10
"""Bytes of a row that are worth a warning."""


def check_devices(schedule: ir.Schedule, hardware: Hardware, sink: Sink) -> None:
    """E0607: every GPU that a profile names is one of the machine's."""
    names = tuple(gpu.name for gpu in hardware.gpus)
    for settings in chain(schedule.stages.values(), schedule.nodes.values()):
        setting = settings.get("device")
        if setting is not None and setting.span is not None and max(_numbers(setting.value), default=-1) >= len(names):
            sink.add(NoSuchDevice(setting.span, _written(setting.value), names).diagnostic())


def _numbers(device: str) -> list[int]:
    kind, _, numbers = device.partition(":")
    return [int(n) for n in numbers.split(",")] if kind == "cuda" else []


def _written(device: str) -> str:
    numbers = ", ".join(map(str, _numbers(device)))
    return f"cuda([{numbers}])" if "," in numbers else f"cuda({numbers})"


def check_transfers(
    schedule: ir.Schedule, graphs: Iterable[ir.Graph], stages: Mapping[str, ir.Stage], sink: Sink
) -> None:
    """W0501 and W0602: values that leave the GPU they are made on."""
    for graph in graphs:
        made = {call.id: _made(call, schedule) for call in graph.calls}
        if any(place.on_gpu for place in made.values()):
            for node in graph.nodes:
                _check_node(node, graph, made, stages, sink)


@dataclass(frozen=True, slots=True)
class _Place:
    """A device, and the setting that says so."""

    device: str
    span: Span | None = None

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


def _made(call: ir.Call, schedule: ir.Schedule) -> _Place:
    layers = (schedule.nodes.get(call.id), schedule.stages.get(f"{call.stage}@{call.version}"))
    for settings in (*layers, schedule.stages.get(call.stage)):
        if settings and "device" in settings:
            return _Place(settings["device"].value, settings["device"].span)
    return _Place("cpu")


def _check_node(
    node: ir.AnyNode, graph: ir.Graph, made: Mapping[str, _Place], stages: Mapping[str, ir.Stage], sink: Sink
) -> None:
    if node.span is None or isinstance(node, ir.Input | ir.Output):
        return
    for ref in dict.fromkeys(ir.references(node)):
        place = made.get(ref.node)
        if place is None or not place.on_gpu:
            continue
        if isinstance(node, ir.Compute):
            if _is_numeric(ref, graph):
                sink.add(DeviceRead(node.span, ref.node, place.device, place.span).diagnostic())
        elif isinstance(node, ir.Call) and made[node.id].device not in (place.device, "any"):
            _check_copy(node, ref, graph, made, stages, sink)


def _is_numeric(ref: ir.Ref, graph: ir.Graph) -> bool:
    """Text is on the host wherever it is made."""
    return dict(ir.results(graph.node(ref.node)))[ref.port].dtype.numeric


def _check_copy(
    node: ir.Call,
    ref: ir.Ref,
    graph: ir.Graph,
    made: Mapping[str, _Place],
    stages: Mapping[str, ir.Stage],
    sink: Sink,
) -> None:
    call = graph.node(ref.node)
    if not isinstance(call, ir.Call) or node.span is None:
        return
    found = _largest_row(call, ref.port, stages[call.stage].signature)
    if found >= LARGE:
        source, target = made[call.id], made[node.id].device
        size = f"up to {bytes_text(found)} per row"
        sink.add(DeviceCopy(node.span, f"{ref.node}.{ref.port}", size, source.device, target, source.span).diagnostic())


def _largest_row(call: ir.Call, port: str, signature: ir.Signature) -> int:
    """Bytes that one row of an output can have; 0 where no bound is known."""
    kind = dict(call.results)[port]
    declared = next(p.type for p in signature.outputs if p.name == port)
    known = row_bytes(kind, call.binding)
    return known or row_bytes(_bounded(declared, signature), call.binding)


def _bounded(kind: TensorType, signature: ir.Signature) -> TensorType:
    """The type with the largest sizes that `where` allows."""
    dims = [d for d in kind.dims if isinstance(d, Sized | Ragged)]
    sizes = {s: Size.of(limit) for d in dims for s, limit in _limits(d.size, signature)}
    return kind.with_dims(
        tuple(Sized(d.size.substitute(sizes)) if isinstance(d, Sized | Ragged) else d for d in kind.dims)
    )


def _limits(size: Size, signature: ir.Signature) -> Iterator[tuple[Symbol, int]]:
    for symbol in size.symbols:
        limit = upper_bound(symbol.name, signature)
        if limit is not None:
            yield symbol, limit
