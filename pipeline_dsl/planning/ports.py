"""How each port of a stage is handed to its instances: `Port` and ragged rules -> `PortPlan`.

A dim `~L` follows the rule for `L`; where a size is an expression (`~(W/4)`), the rule of the names in it. Companions
(`mask`, `lengths`, `offsets`) are ports that no caller gives: they are filled when the first input with that dim is
padded or packed. What a sequence stage is told of each row (`start`, `id`) no caller gives either.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

from pipeline_dsl.ir import Port, RaggedRule, Stage
from pipeline_dsl.plan import Form, PortPlan, SequenceControl
from pipeline_dsl.types import Ragged, TensorType

Rules = dict[str, RaggedRule]
Companion = Literal["mask", "lengths", "offsets"]


def input_plans(stage: Stage) -> tuple[PortPlan, ...]:
    """The inputs of a stage in port order."""
    rules = rules_of(stage)
    companions = _companions(stage)
    controls = _controls(stage)
    return tuple(
        _filled(port, *companions[port.name])
        if port.name in companions
        else replace(_given(port, rules), filled=controls.get(port.name, ""))
        for port in stage.signature.inputs
    )


def output_plans(stage: Stage) -> tuple[PortPlan, ...]:
    """The outputs of a stage in port order."""
    rules = rules_of(stage)
    return tuple(_given(port, rules) for port in stage.signature.outputs)


def rules_of(stage: Stage) -> Rules:
    """The ragged rules of a stage by dim name."""
    return {rule.dim: rule for rule in stage.contract.ragged}


def form_of(type_: TensorType, rules: Rules) -> Form:
    """The form of a port; ragged dims without a rule, or with rules that disagree, give `ragged`."""
    if not type_.dims:
        return "scalar"
    if type_.is_ragged:
        found = {rule.how if rule else None for rule in rules_for(type_, rules)}
        if found == {"pad"}:
            return "padded"
        if found == {"pack"}:
            return "packed"
        if found != {"reject"}:
            return "ragged"
    return "dense" if type_.dtype.numeric else "object"


def rules_for(type_: TensorType, rules: Rules) -> list[RaggedRule | None]:
    """The rule of each size name in the ragged dims of a type, in order; None for a name without one."""
    names = [s.name for d in type_.dims if isinstance(d, Ragged) for s in sorted(d.size.symbols, key=str)]
    return [rules.get(name) for name in names]


def _given(port: Port, rules: Rules) -> PortPlan:
    form = form_of(port.type, rules)
    rule = next((r for r in rules_for(port.type, rules) if r), None)
    return PortPlan(
        port.name,
        port.type,
        form,
        port.has_default,
        port.default,
        pad_value=_pad_value(port.type, rule),
        buckets=rule.buckets if rule and form == "padded" else (),
    )


def _pad_value(type_: TensorType, rule: RaggedRule | None) -> Any:
    """What fills up a row: as declared; 0 means "nothing" in every dtype."""
    value = rule.value if rule else 0
    if value:
        return value
    return {"string": "", "bytes": b"", "json": None, "bool": False}.get(type_.dtype.name, 0)


def _companions(stage: Stage) -> dict[str, tuple[Companion, str]]:
    """Ports that are filled by the runtime -> (what with, the input it describes)."""
    found: dict[str, tuple[Companion, str]] = {}
    for rule in stage.contract.ragged:
        names: dict[str, Companion] = {rule.mask: "mask", rule.lengths: "lengths", rule.offsets: "offsets"}
        source = _first_with(rule.dim, stage, names.keys())
        found.update({name: (kind, source) for name, kind in names.items() if name})
    return found


def _controls(stage: Stage) -> dict[str, SequenceControl]:
    """Ports that tell of a sequence."""
    rule = stage.contract.sequence
    if rule is None:
        return {}
    named: dict[str, SequenceControl] = {rule.start: "start", rule.end: "end", rule.ready: "ready", rule.id: "id"}
    return {name: kind for name, kind in named.items() if name}


def _first_with(dim: str, stage: Stage, companions: Collection[str]) -> str:
    """The first input with `~dim` that a caller gives."""
    for port in stage.signature.inputs:
        ragged = (d for d in port.type.dims if isinstance(d, Ragged))
        if port.name not in companions and any(s.name == dim for d in ragged for s in d.size.symbols):
            return port.name
    return ""


def _filled(port: Port, kind: Companion, source: str) -> PortPlan:
    form: Form = "padded" if kind == "mask" and port.type.is_ragged else "dense"
    return PortPlan(port.name, port.type, form, filled=kind, filled_from=source)
