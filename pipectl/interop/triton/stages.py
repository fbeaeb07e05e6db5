"""A checked stage with what a profile says of it -> `Model`, or why Triton can not run it the same way."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import ir
from pipeline_dsl.errors.exporting import NoEqual
from pipeline_dsl.settings import DEFAULTS
from pipeline_dsl.source import Span
from pipeline_dsl.types import Ragged, Rows, Sized, TensorType

from .model import BACKENDS, Model, Packing, Sequence, State, Tensor
from .normal import IDLE

NATIVE = frozenset(BACKENDS) - {"python"}
"""Backends of which Triton runs the artifact itself. Other stages run in pipectl, called by Triton's python."""
KEPT = "triton."
"""Keys of a profile that are for Triton only."""

_EQUAL = (
    *("instances", "device", "batching.", "queue.", "warmup.", "cache.size", "limit.", "versions", "graphs"),
    *("accelerate.tensorrt.precision", KEPT),
)


@dataclass(frozen=True, slots=True)
class Written:
    """What one stage or pipeline gives: `kept` is laid over its configuration, `reasons` say why it can not be."""

    kept: Mapping[str, Any]
    reasons: tuple[NoEqual, ...]
    left_out: tuple[str, ...]
    """Settings without an equal, which change no answer."""


def settings_of(settings: ir.Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a profile says: to everybody, and to Triton only."""
    plain = {key: s.value for key, s in settings.items() if not key.startswith(KEPT)}
    kept = {key.removeprefix(KEPT): s.value for key, s in settings.items() if key.startswith(KEPT)}
    return plain, kept


def model_of_stage(stage: ir.Stage, given: ir.Settings) -> tuple[Model, Written]:
    """The model of a stage. It is complete also where there are reasons against it."""
    settings, kept = settings_of(given)
    native = stage.backend in NATIVE or stage.backend == "triton"
    signature, contract = stage.signature, stage.contract
    packings = tuple(_packings(stage))
    model = Model(
        name=stage.name,
        title=str(kept.pop("name", "")),
        backend=stage.backend if native else "python",
        artifact=_artifact(stage),
        max_rows=_max_rows(stage, settings),
        inputs=tuple(_tensor(p, stage, contract.tensors_in, native) for p in signature.inputs),
        outputs=tuple(_tensor(p, stage, contract.tensors_out, native, output=True) for p in signature.outputs),
        versions=contract.versions,
        stream=any(p.type.stream for p in signature.outputs),
        packings=packings,
        sequence=_sequence(contract),
        states=tuple(_states(contract)),
        settings=settings,
    )
    left = tuple(k for k in settings if not k.startswith(_EQUAL) and (k, stage.backend) != ("threads", "onnx"))
    return model, Written(kept, tuple(_reasons(stage, kept)), left)


def place_of(stage: ir.Stage) -> Span:
    """Where a stage is declared."""
    assert stage.span is not None, "stages of a file have a place"
    return stage.span


def _artifact(stage: ir.Stage) -> str:
    given = str(stage.arguments.get("artifact", ""))
    return os.path.join(stage.folder, given) if stage.backend in NATIVE else given


def _max_rows(stage: ir.Stage, settings: Mapping[str, Any]) -> int:
    if not stage.signature.has_rows:
        return 0
    return int(stage.contract.rows or settings.get("batching.max") or DEFAULTS["batching.max"])


def _tensor(
    port: ir.Port, stage: ir.Stage, names: Mapping[str, ir.TensorName], native: bool, output: bool = False
) -> Tensor:
    dims = [d for d in port.type.dims if not isinstance(d, Rows)]
    named = names.get(port.name) if native else None
    labels = stage.contract.labels.get(port.name, "") if output else ""
    return Tensor(
        port.name,
        named.name if named else port.name,
        port.type.dtype.name,
        tuple(_size(d) for d in dims),
        tuple(str(d.size) if isinstance(d, Sized) and d.size.symbol else "" for d in dims),
        optional=port.type.optional,
        ragged=not output and any(isinstance(d, Ragged) for d in dims),
        labels=os.path.join(stage.folder, labels) if labels else "",
    )


def _size(dim: object) -> int:
    size = dim.size.value if isinstance(dim, Sized) else None
    return -1 if size is None else size


def _packings(stage: ir.Stage) -> Iterator[Packing]:
    """One for each ragged input whose rule is `pack`."""
    ports = {p.name: p for p in stage.signature.inputs}
    for rule in stage.contract.ragged:
        for port in stage.signature.inputs:
            if rule.how == "pack" and rule.dim in _ragged(port.type):
                offsets = ports.get(rule.offsets)
                named = stage.contract.tensors_in.get(rule.offsets)
                tensor = named.name if named else rule.offsets
                yield Packing(port.name, rule.offsets, tensor, offsets.type.dtype.name if offsets else "i32")


def _ragged(type_: TensorType) -> set[str]:
    return {s.name for d in type_.dims if isinstance(d, Ragged) for s in d.size.symbols}


def _sequence(contract: ir.Contract) -> Sequence | None:
    """How the stage takes part in sequences; one with a state does."""
    rule = sequence_rule(contract)
    if rule is None:
        return Sequence() if state_rules(contract) else None
    controls = {role: tensor for role in ("start", "end", "ready", "id") if (tensor := getattr(rule, role))}
    idle = 0 if rule.idle_ns == IDLE * 1000 else rule.idle_ns
    return Sequence(controls, idle, rule.strategy, rule.slots, rule.delay_ns)


def sequence_rule(contract: ir.Contract) -> ir.SequenceRule | None:
    """The stage's `sequence { }`, whether the checker has made a rule of it or left the settings as they are."""
    given = contract.extra.get("sequence")
    if contract.sequence is not None or given is None:
        return contract.sequence
    names = {"idle": "idle_ns", "slots.strategy": "strategy", "slots.max": "slots", "slots.delay": "delay_ns"}
    return ir.SequenceRule(**{names.get(key, key): value for key, value in given.items()})


def state_rules(contract: ir.Contract) -> tuple[ir.StateRule, ...]:
    """The stage's `state`s, likewise."""
    given = contract.extra.get("state", ())
    plain = (ir.StateRule(s["name"], s["type"], s["init"], s["in"], s["out"]) for s in given if s["type"] is not None)
    return contract.states or tuple(plain)


def _states(contract: ir.Contract) -> Iterator[State]:
    for rule in state_rules(contract):
        dims = tuple(_size(d) for d in rule.type.dims)
        source, target = rule.source or rule.name, rule.target or rule.name
        yield State(rule.name, rule.type.dtype.name, dims, source, target, rule.init == "zeros")


# ---- what can not be written


def _reasons(stage: ir.Stage, kept: Mapping[str, Any]) -> Iterator[NoEqual]:
    place = place_of(stage)
    if stage.backend == "triton" and not (kept.get("backend") or kept.get("platform")):
        text = f"stage `{stage.name}`: it is a model of another Triton server"
        yield NoEqual(place, "Triton", text, 'say its backend: `triton { backend = "python" }` in the profile')
    yield from _port_reasons(stage)
    for rule in stage.contract.ragged:
        if rule.how != "pack":
            yield _no(place, f"`{rule.how}` of the ragged size `{rule.dim}`: it joins unequal rows only packed")
    for name in (*stage.contract.tensors_in.values(), *stage.contract.tensors_out.values()):
        if name.permute:
            yield _no(place, f"`permute` of tensor `{name.name}`")
    for state in state_rules(stage.contract):
        if state.init != "zeros":
            yield _no(place, f"state `{state.name}`: it does not start with zeros")
    keeps = sequence_rule(stage.contract) is not None or state_rules(stage.contract)
    if stage.backend not in NATIVE | {"triton"} and (keeps or _streams(stage)):
        yield _no(place, f"stage `{stage.name}`: what runs in pipectl answers each request by itself, and once")


def _port_reasons(stage: ir.Stage) -> Iterator[NoEqual]:
    for port in stage.signature.inputs:
        if port.type.stream:
            yield _no(port.span or place_of(stage), f"`{port.name}`: a model can not take a stream")
    filled = {port for r in stage.contract.ragged for port in (r.mask, r.lengths, r.offsets)}
    packed = {r.dim for r in stage.contract.ragged if r.how == "pack"}
    rows = stage.signature.has_rows
    for port in (*stage.signature.inputs, *stage.signature.outputs):
        span = port.span or place_of(stage)
        if port.type.has_rest:
            yield _no(span, f"`...` in `{port.name}`: a configuration says how many dims there are")
        elif rows and not port.type.has_rows and port.name not in filled:
            yield _no(span, f"`{port.name}`, which has no `*` beside ports that do: all tensors of a batch have rows")
        elif not rows and not port.type.dims and stage.backend in NATIVE:
            yield _no(span, f"the single value `{port.name}` without rows: its backends take `[1]` at least")
        if _ragged(port.type) - packed:
            yield _no(span, f"`{port.type}` of `{port.name}`: rows of unequal size need `pack`")


def _streams(stage: ir.Stage) -> bool:
    return any(p.type.stream for p in (*stage.signature.inputs, *stage.signature.outputs))


def _no(span: Span, text: str) -> NoEqual:
    return NoEqual(span, "Triton", text)
