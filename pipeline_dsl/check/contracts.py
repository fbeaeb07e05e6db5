"""A stage's own block -> `ir.Contract`: what is true of its artifact.

Ports and ragged sizes that it names must be the stage's own; everything else is a key of the closed table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import NoRowAxis, UnknownSetting
from pipeline_dsl.settings import tree

from .backends import Using
from .blocks import Leaf, leaves
from .ragged import ragged_rule
from .scope import Scope
from .sequences import sequence_rule, state_rules
from .setting_values import read_setting
from .tensors import tensor_name


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
    controls: dict[str, tuple[Any, Leaf]] = field(default_factory=dict)
    """Settings of `sequence`, by what follows that."""
    sequence: ir.SequenceRule | None = None
    states: tuple[ir.StateRule, ...] = ()
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
            self.sequence,
            self.states,
            self.extra,
        )


def contract_of(decl: syntax.Stage, signature: ir.Signature, using: Using, scope: Scope, sink: Sink) -> ir.Contract:
    """The contract of a stage; settings with mistakes are reported and left out."""
    draft = _Draft(using.spec.effects, using.versions)
    if decl.block is None:
        return draft.done()
    place = f"stage `{decl.name}`"
    for leaf in leaves(decl.block, tree("contract", using.spec.name), place, sink):
        _settle(leaf, draft, signature, scope, sink)
    _sequence(decl.block, draft, signature, scope, sink)
    return draft.done()


def _sequence(block: syntax.Block, draft: _Draft, signature: ir.Signature, scope: Scope, sink: Sink) -> None:
    """What the stage keeps between requests; states without a `sequence` block have the rule of an empty one."""
    states = [i for i in block.items if isinstance(i, syntax.State)]
    said = draft.controls or any(isinstance(i, syntax.Nested) and str(i.key) == "sequence" for i in block.items)
    if said or states:
        draft.sequence = sequence_rule(draft.controls, signature, draft.ragged, sink)
        draft.states = state_rules(states, signature, scope, sink)


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
        case ["sequence", *rest]:
            draft.controls[".".join(rest)] = (value, leaf)
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
