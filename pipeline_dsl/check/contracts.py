"""A stage's own block -> `ir.Contract`: what is true of its artifact.

Ports and ragged sizes that it names must be the stage's own; everything else is a key of the closed table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import NoRowAxis, UnknownSetting, WrongSetting
from pipeline_dsl.settings import tree

from .backends import Using
from .blocks import Leaf, leaves
from .ragged import ragged_rule
from .scope import Scope
from .setting_values import read_setting
from .signatures import type_of
from .tensors import tensor_name
from .values import evaluate


@dataclass(slots=True)
class _Draft:
    """A contract in the making."""

    effects: ir.Effects
    versions: tuple[int, ...]
    rows: int | None = None
    tensors_in: dict[str, ir.TensorName] = field(default_factory=dict)
    tensors_out: dict[str, ir.TensorName] = field(default_factory=dict)
    ragged: list[ir.RaggedRule] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def done(self) -> ir.Contract:
        return ir.Contract(
            self.effects,
            self.tensors_in,
            self.tensors_out,
            tuple(self.ragged),
            self.labels,
            self.versions,
            self.rows,
            extra=self.extra,
        )


def contract_of(decl: syntax.Stage, signature: ir.Signature, using: Using, scope: Scope, sink: Sink) -> ir.Contract:
    """The contract of a stage; settings with mistakes are reported and left out."""
    draft = _Draft(using.spec.effects, using.versions)
    if decl.block is None:
        return draft.done()
    place = f"stage `{decl.name}`"
    for leaf in leaves(decl.block, tree("contract", using.spec.name), place, sink):
        _settle(leaf, draft, signature, scope, sink)
    states = [i for i in decl.block.items if isinstance(i, syntax.State)]
    if states:
        draft.extra["state"] = tuple(_state(s, scope, sink) for s in states)
    return draft.done()


def _settle(leaf: Leaf, draft: _Draft, signature: ir.Signature, scope: Scope, sink: Sink) -> None:
    """Enter one setting."""
    block, _, rest = leaf.key.partition(".")
    if block == "tensors":
        tensor_name(leaf, rest, signature, draft.tensors_in, draft.tensors_out, scope, sink)
    elif block == "ragged":
        rule = ragged_rule(leaf, rest, signature, scope, sink)
        if rule is not None:
            draft.ragged.append(rule)
    elif block == "labels" and not is_port(leaf, rest, signature.outputs, "outputs", sink):
        return
    else:
        value = read_setting(leaf.spec, leaf.key, leaf.setting.value, scope, sink)
        if value is not None:
            _enter(leaf, value[0], draft, signature, sink)


def _enter(leaf: Leaf, value: Any, draft: _Draft, signature: ir.Signature, sink: Sink) -> None:
    match leaf.key.split("."):
        case ["effects"]:
            draft.effects = value
        case ["versions"]:
            draft.versions = tuple(sorted({*draft.versions, *value}))
        case ["rows"]:
            draft.rows = value
            _has_rows(leaf, signature, sink)
        case ["labels", port]:
            draft.labels[port] = value
        case [block, *rest]:
            draft.extra.setdefault(block, {})[".".join(rest)] = value


def _has_rows(leaf: Leaf, signature: ir.Signature, sink: Sink) -> None:
    if not signature.has_rows:
        sink.add(NoRowAxis(leaf.span, "this stage", "rows", None, "").diagnostic())


def is_port(leaf: Leaf, name: str, ports: Sequence[ir.Port], what: str, sink: Sink) -> bool:
    """Whether a key names one of the ports; E0603 if not."""
    names = tuple(p.name for p in ports)
    if name not in names:
        place = f"`{leaf.key.split('.')[0]}`, which takes {what}"
        sink.add(UnknownSetting(leaf.span, name, place, names, "port").diagnostic())
    return name in names


def _state(state: syntax.State, scope: Scope, sink: Sink) -> dict[str, Any]:
    """A state as data for the sequence machinery. `zeros()` without a dtype takes the state's type."""
    init: Any = None
    match state.init:
        case syntax.Call(callee=syntax.Name(text="zeros" | "ones" as fill), args=()):
            init = fill
        case None:
            pass
        case expr:
            given = evaluate(expr, scope, sink)
            init = None if given is None else given.value
    kind = type_of(state.type, scope, sink, state.name.text)
    if kind is not None and kind.stream:
        sink.add(WrongSetting(state.type.span, f"state {state.name}", "a value", "a stream").diagnostic())
    return {
        "name": state.name.text,
        "type": kind,
        "init": init,
        "in": state.tensor_in or "",
        "out": state.tensor_out or "",
        "span": state.span,
        "has_init": state.init is not None,
    }
