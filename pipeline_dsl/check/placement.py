"""What the devices of a profile mean for its stages and values: E0607, W0501, W0601, W0602.

A GPU must be there, if the machine is known. What a GPU makes should stay there: an expression waits for it on the
host, and a stage elsewhere has it copied. The way to a GPU and the way out of the pipeline are free of warnings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from pipeline_dsl import ir
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.placement import OVERRIDE, DeviceCopy, DeviceRead, NoSuchDevice
from pipeline_dsl.errors.settings import NoEffect
from pipeline_dsl.plan import Hardware
from pipeline_dsl.row_bytes import row_bytes
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.source import Span
from pipeline_dsl.types import Ragged, Sized, TensorType
from pipeline_dsl.units import bytes_text

from .options import Options
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


def check_sms(settings: ir.Settings, own: ir.Settings, name: str, sink: Sink) -> None:
    """W0601: multiprocessors of a stage on the host. `own` is what a block for it says, `settings` all that holds."""
    setting, device = own.get("sms"), settings.get("device")
    if setting is not None and setting.span is not None and (device is None or device.value == "cpu"):
        advice = "place it on a GPU: `device = cuda(0)`"
        sink.add(NoEffect(setting.span, "sms", f"`{name}` is on the host", advice).diagnostic())


def check_override(options: Options, start: Span, sink: Sink) -> None:
    """E0607 at the start of the file: stages are to be placed on GPUs, whatever profiles say, and there is none."""
    if options.device == "cuda" and options.hardware is not None and not options.hardware.gpus:
        sink.add(NoSuchDevice(start, OVERRIDE, ()).diagnostic())


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
            _Transfers(made, stages, sink).check(graph.nodes)


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


@dataclass(slots=True)
class _Transfers:
    """One walk over a graph. A value that constructs hand on, as a result or as an item, is where it was made."""

    made: Mapping[str, _Place]
    """Of each call, by node."""
    stages: Mapping[str, ir.Stage]
    sink: Sink
    on_gpu: dict[ir.Ref, ir.Call] = field(default_factory=dict)
    """Values on a GPU, and the call that made each."""
    types: dict[ir.Ref, TensorType] = field(default_factory=dict)
    ports: dict[ir.Ref, str] = field(default_factory=dict)
    """The output of that call."""

    def check(self, nodes: Iterable[ir.AnyNode]) -> None:
        for node in nodes:
            if not isinstance(node, ir.Input | ir.Output):
                self._reads(node)
            if isinstance(node, ir.Map):
                for given, source in zip(node.body.given, node.sources, strict=True):
                    self._hand_on(source, ir.Ref(given.id, "value"))
            for region in ir.regions(node):
                self.types.update((ir.Ref(given.id, "value"), given.type) for given in region.given)
                self.check(region.nodes)
            self._makes(node)

    def _reads(self, node: ir.AnyNode) -> None:
        for ref in dict.fromkeys(o for o in ir.operands(node) if isinstance(o, ir.Ref) and o in self.on_gpu):
            call = self.on_gpu[ref]
            place = self.made[call.id]
            if isinstance(node, ir.Call):
                if self.made[node.id].device not in (place.device, "any"):
                    self._check_copy(node, call, self.ports[ref])
            elif isinstance(node, ir.Compute | ir.Branch | ir.Route) and self.types[ref].dtype.numeric:
                # Text is on the host wherever it is made.
                verb = "computed" if isinstance(node, ir.Compute) else "decided"
                assert node.span is not None, "what is written has a place"
                self.sink.add(DeviceRead(node.span, call.id, place.device, place.span, verb).diagnostic())

    def _makes(self, node: ir.AnyNode) -> None:
        self.types.update((ir.Ref(node.id, port), kind) for port, kind in ir.results(node))
        if isinstance(node, ir.Call) and self.made[node.id].on_gpu:
            for port, _ in node.results:
                self.on_gpu[ir.Ref(node.id, port)] = node
                self.ports[ir.Ref(node.id, port)] = port
        for region in ir.regions(node):
            for value, (port, _) in zip(region.yields, ir.results(node), strict=False):
                self._hand_on(value, ir.Ref(node.id, port))

    def _hand_on(self, value: ir.Operand, to: ir.Ref) -> None:
        if isinstance(value, ir.Ref) and value in self.on_gpu:
            self.on_gpu[to] = self.on_gpu[value]
            self.ports[to] = self.ports[value]

    def _check_copy(self, node: ir.Call, made_by: ir.Call, port: str) -> None:
        found = _largest_row(made_by, port, self.stages[made_by.stage].signature)
        if found < LARGE or node.span is None:
            return
        source, target = self.made[made_by.id], self.made[node.id].device
        size = f"up to {bytes_text(found)} per row"
        copy = DeviceCopy(node.span, f"{made_by.id}.{port}", size, source.device, target, source.span)
        self.sink.add(copy.diagnostic())


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
