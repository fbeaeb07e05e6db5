"""A sequence stage as an instance sees it: control values and states are ports like any other.

    StagePlan --with_states--> StagePlan with ports: inputs, controls, states -> outputs, states

So a backend needs to know nothing of sequences: a python stage gets states as keyword arguments and gives new ones
behind its outputs (in a tuple, or by name in a dict), an ONNX file has tensors for them. Who keeps them between the
calls, and fills in the controls, is the executor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import StateRule, TensorName
from pipeline_dsl.plan import Form, PortPlan, SequenceControl, StagePlan
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Rows, Sized, TensorType

from .values import Value

CONTROLS: tuple[SequenceControl, ...] = ("start", "end", "ready", "id")


def with_states(stage: StagePlan) -> StagePlan:
    """The stage with a port for each control tensor that no declared port stands for, and for each state.

    The same object for a stage that takes no part in sequences."""
    rule, states = stage.contract.sequence, stage.contract.states
    if rule is None:
        return stage
    declared = {p.name for p in stage.inputs}
    named: list[tuple[SequenceControl, str]] = [(kind, getattr(rule, kind)) for kind in CONTROLS]
    controls = [_control(kind, name, stage) for kind, name in named if name and name not in declared]
    sources = {s.name: TensorName(s.source) for s in states if s.source}
    targets = {s.name: TensorName(s.target) for s in states if s.target}
    contract = replace(
        stage.contract,
        tensors_in={**stage.contract.tensors_in, **sources},
        tensors_out={**stage.contract.tensors_out, **targets},
    )
    return replace(
        stage,
        contract=contract,
        inputs=(*stage.inputs, *controls, *(_state(s, stage, "") for s in states)),
        outputs=(*stage.outputs, *(_state(s, stage, "'") for s in states)),
    )


def initial(state: StateRule) -> Value:
    """What a sequence begins with: an array of the state's shape, sizes with a name being 0, or a single value."""
    dtype = state.type.dtype
    fill = (0 if dtype.kind != "bool" else False) if _is_zeros(state) else state.init
    if not state.type.dims:
        kinds: dict[str, Any] = {"bool": bool, "int": int, "uint": int, "float": float}
        return kinds.get(dtype.kind, lambda value: value)(fill)
    if isinstance(fill, list | tuple):
        made = np.array(fill, dtype.numpy)
    else:
        made = np.full([d.size.value or 0 for d in state.type.dims if isinstance(d, Sized)], fill, dtype.numpy)
    made.flags.writeable = False
    return made


def _is_zeros(state: StateRule) -> bool:
    return state.type.dtype.numeric and isinstance(state.init, str)


def _control(kind: SequenceControl, name: str, stage: StagePlan) -> PortPlan:
    dtype = DTYPES["string" if kind == "id" else "bool"]
    if stage.has_rows:
        return PortPlan(name, TensorType(dtype, (Rows(),)), "object" if kind == "id" else "dense", filled=kind)
    return PortPlan(name, TensorType(dtype), "scalar", filled=kind)


def _state(state: StateRule, stage: StagePlan, mark: str) -> PortPlan:
    """`mark` goes behind size names: what a call gives may have another size than what it got."""
    dims = tuple(_marked(d, mark) if isinstance(d, Sized) else d for d in state.type.dims)
    rows = (Rows(),) if stage.has_rows else ()
    kind = state.type.with_dims((*rows, *dims))
    form: Form = "scalar" if not kind.dims else "dense" if kind.dtype.numeric else "object"
    return PortPlan(state.name, kind, form)


def _marked(dim: Sized, mark: str) -> Sized:
    symbol = dim.size.symbol
    return dim if symbol is None or not mark else Sized(Size.of(f"{symbol.name}{mark}"))
