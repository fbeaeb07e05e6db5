"""`Ensemble` -> its pipeline: a call for each step, and a variable for each tensor.

An output that is a stream makes what reads it a `map` over the stream, element by element, as Triton does it; a
stage with a sequence makes the pipeline one of sequences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipectl.interop import trees
from pipeline_dsl import syntax

from .declare import Dims, dims_of
from .model import Ensemble, Model, Step, Tensor


@dataclass(frozen=True, slots=True)
class Callee:
    """What a call site sees of a stage or pipeline."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    dims: Mapping[str, Dims]
    """By `in.port` and `out.port`, without rows."""
    streams: frozenset[str] = frozenset()
    """Output ports."""
    sequence: bool = False


def callee_of(model: Model) -> Callee:
    """A stage as a call site sees it."""
    streams = frozenset(t.port for t in model.outputs) if model.stream else frozenset()
    return Callee(model.name, model.inputs, model.outputs, dims_of(model), streams, model.sequence is not None)


@dataclass(slots=True)
class _Draft:
    """A pipeline in the making."""

    ensemble: Ensemble
    callees: Mapping[str, Callee]
    names: trees.Names = field(default_factory=trees.Names)
    variables: dict[str, str] = field(default_factory=dict)
    """By tensor."""
    streams: set[str] = field(default_factory=set)
    """Tensors."""
    readers: dict[str, list[Dims]] = field(default_factory=dict)
    """What the inputs of steps want of a tensor."""
    makers: dict[str, Dims] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    """Tensors that somebody wants."""
    count: int = 0


def pipeline_of(ensemble: Ensemble, callees: Mapping[str, Callee]) -> tuple[syntax.Pipeline, Callee]:
    """The pipeline, and how others that call it see it. `callees` by the names of stages and pipelines."""
    draft = _Draft(ensemble, callees)
    for tensor in ensemble.inputs:
        draft.names.of(tensor.port)
        draft.variables[tensor.tensor] = tensor.port
    for step in ensemble.steps:
        for port, tensor_ in step.inputs.items():
            draft.readers.setdefault(tensor_, []).append(callees[step.stage].dims[f"in.{port}"])
    draft.read = {*draft.readers, *(t.tensor for t in ensemble.outputs)}
    statements: list[syntax.Statement] = []
    sequence = any(callees[s.stage].sequence for s in ensemble.steps)
    if sequence:
        statements.append(trees.nested("sequence", trees.setting("id", trees.name("correlation_id"))))
    statements += [_statement(step, draft) for step in ensemble.steps]
    outs = (trees.out(trees.name(draft.variables[t.tensor]), t.port) for t in ensemble.outputs)
    statements.append(trees.returns(*outs))
    inputs, outputs = _dims(ensemble.inputs, "in", draft), _dims(ensemble.outputs, "out", draft)
    signature = syntax.Signature(
        tuple(_port(t, inputs[f"in.{t.port}"], draft) for t in ensemble.inputs),
        tuple(_port(t, outputs[f"out.{t.port}"], draft) for t in ensemble.outputs),
        span=trees.NOWHERE,
    )
    made = syntax.Pipeline(
        False, trees.ident(ensemble.name), signature, (), trees.body(*statements), span=trees.NOWHERE
    )
    streams = frozenset(t.port for t in ensemble.outputs if t.tensor in draft.streams)
    return made, Callee(ensemble.name, ensemble.inputs, ensemble.outputs, {**inputs, **outputs}, streams, sequence)


# ---- statements


def _statement(step: Step, draft: _Draft) -> syntax.Assign:
    callee = draft.callees[step.stage]
    streamed = [t for t in dict.fromkeys(step.inputs.values()) if t in draft.streams]
    elements = {tensor: draft.names.fresh(f"{draft.variables[tensor]}_item") for tensor in streamed}
    arguments = tuple(
        trees.argument(trees.name(elements.get(tensor) or draft.variables[tensor]), port)
        for port, tensor in step.inputs.items()
    )
    target = trees.name(callee.name)
    versioned = syntax.Versioned(callee.name, step.version, span=trees.NOWHERE) if step.version else target
    value = syntax.Call(versioned, arguments, span=trees.NOWHERE)
    targets = [_target(step.outputs.get(t.port), draft) for t in callee.outputs]
    for tensor in callee.outputs:
        made = step.outputs.get(tensor.port)
        if made is not None:
            draft.makers[made] = callee.dims[f"out.{tensor.port}"]
            if streamed or tensor.port in callee.streams:
                draft.streams.add(made)
    return trees.assign(targets, _mapped(value, elements, callee, targets, draft) if streamed else value)


def _target(tensor: str | None, draft: _Draft) -> str:
    if tensor is None or tensor not in draft.read:
        return "_"
    if tensor not in draft.variables:
        draft.variables[tensor] = draft.names.fresh(tensor)
    return draft.variables[tensor]


def _mapped(
    call: syntax.Expr, elements: Mapping[str, str], callee: Callee, targets: list[str], draft: _Draft
) -> syntax.Map:
    """`map a in xs { r = f(a) yield r.y }`"""
    iters = tuple(
        syntax.Iter(trees.ident(item), trees.name(draft.variables[tensor]), span=trees.NOWHERE)
        for tensor, item in elements.items()
    )
    result = draft.names.fresh(f"{callee.name}_of")
    single = len(callee.outputs) == 1
    value = trees.name(result)
    outs = (trees.out(value if single else trees.member(value, t.port)) for t in callee.outputs)
    inner = trees.body(trees.assign([result], call), trees.yields(*outs))
    return syntax.Map((), iters, inner, span=trees.NOWHERE)


# ---- ports


def _dims(tensors: Iterable[Tensor], side: str, draft: _Draft) -> dict[str, Dims]:
    return {f"{side}.{t.port}": tuple(_dim(t, axis, side, draft) for axis in range(len(t.dims))) for t in tensors}


def _dim(tensor: Tensor, axis: int, side: str, draft: _Draft) -> int | str:
    """A number, a name, or `?` where a name could not be proved to be the number that a stage wants or gives."""
    if tensor.dims[axis] >= 0:
        return tensor.dims[axis]
    behind = axis - len(tensor.dims)
    readers = [dims[behind] for dims in draft.readers.get(tensor.tensor, ()) if len(dims) >= -behind]
    maker = draft.makers.get(tensor.tensor, ())
    if side == "out":
        made = maker[behind] if len(maker) >= -behind else "?"
        if draft.ensemble.max_rows or isinstance(made, int) or made == "?":
            return "?"
    elif any(isinstance(d, int) or d == "?" for d in readers):
        return "?"
    draft.count += 1
    ragged = side == "in" and any(isinstance(d, str) and d.startswith("~") for d in readers)
    return f"~D{draft.count}" if ragged and draft.ensemble.max_rows else f"D{draft.count}"


def _port(tensor: Tensor, dims: Dims, draft: _Draft) -> syntax.Port:
    rows = ("*",) if draft.ensemble.max_rows else ()
    stream = tensor.tensor in draft.streams
    return trees.port(tensor.port, trees.type_(tensor.dtype, (*rows, *dims), optional=tensor.optional, stream=stream))
