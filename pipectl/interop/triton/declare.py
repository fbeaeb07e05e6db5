"""`Model` -> its stage and its block of a profile.

An unknown size becomes a name: of an input, `D1`, the same for all rows of a batch, as Triton wants it; `~D1` where
its batches are ragged. Of an output beside rows it is `?`: Triton does not say what it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipectl.interop import trees
from pipeline_dsl import syntax
from pipeline_dsl.settings import BACKENDS, KeySpec, tree

from .model import Model, State, Tensor
from .overlay import Data

Dims = tuple[int | str, ...]


def stage_of(model: Model) -> syntax.Stage:
    """The stage; without signature where the configuration leaves it to the artifact."""
    signature = _signature(model) if is_complete(model) else None
    return syntax.Stage(
        trees.ident(model.name), signature, None, (), _using(model), _contract(model), span=trees.NOWHERE
    )


def is_complete(model: Model) -> bool:
    """Whether the configuration says dtype and shape of every tensor."""
    tensors = (*model.inputs, *model.outputs)
    return bool(model.inputs and model.outputs) and all(t.dtype for t in tensors)


def dims_of(model: Model) -> Mapping[str, Dims]:
    """Dims of each tensor behind the rows, by `in.port` and `out.port`."""
    count = 0
    found: dict[str, Dims] = {}
    for side, tensors in (("in", model.inputs), ("out", model.outputs)):
        for tensor in tensors:
            made: list[int | str] = []
            for size in tensor.dims:
                unknown = size < 0
                if unknown and side == "out" and model.max_rows:
                    made.append("?")
                elif unknown:
                    count += 1
                    made.append(f"~D{count}" if tensor.ragged and model.max_rows else f"D{count}")
                else:
                    made.append(size)
            found[f"{side}.{tensor.port}"] = tuple(made)
    return found


def profile_block(name: str, settings: Mapping[str, Any], kept: Data, backend: str | None) -> syntax.Nested | None:
    """`name { .. }` of a profile. `kept` is what stays Triton's; `backend` None: a pipeline's."""
    place = tree("pipeline") if backend is None else tree("stage", backend)
    known = {key: place.find(trees.parts(key)) for key in settings}
    flat = {k: setting_value(known[k], v) for k, v in settings.items() if isinstance(known[k], KeySpec)}
    items = [*trees.settings(flat)]
    if kept:
        items.append(trees.nested("triton", *(trees.setting(k, trees.data(v)) for k, v in kept.items())))
    return trees.nested(name, *items) if items else None


def setting_value(spec: object, value: Any) -> syntax.Expr:
    """A setting's value as its kind is spelled."""
    assert isinstance(spec, KeySpec)
    if isinstance(value, str) and value in spec.words:
        return trees.name(value)
    if spec.kind == "duration":
        return trees.duration(value)
    if spec.kind == "size":
        return trees.size(value)
    if spec.kind == "device":
        gpus = [int(n) for n in value.removeprefix("cuda:").split(",")]
        return trees.call("cuda", trees.data(gpus if len(gpus) > 1 else gpus[0]))
    return trees.data(value)


# ---- the stage


def _signature(model: Model) -> syntax.Signature:
    dims = dims_of(model)
    rows = ("*",) if model.max_rows else ()
    filled = {p.offsets for p in model.packings}

    def port(side: str, tensor: Tensor) -> syntax.Port:
        shape = dims[f"{side}.{tensor.port}"]
        ahead = () if tensor.port in filled and side == "in" else rows
        stream = side == "out" and model.stream
        return trees.port(
            tensor.port, trees.type_(tensor.dtype, (*ahead, *shape), optional=tensor.optional, stream=stream)
        )

    inputs = tuple(port("in", t) for t in model.inputs)
    return syntax.Signature(inputs, tuple(port("out", t) for t in model.outputs), span=trees.NOWHERE)


def _using(model: Model) -> syntax.Call:
    keys_: dict[str, syntax.Expr] = {}
    if model.versions and BACKENDS[model.backend].versioned:
        keys_["versions"] = trees.data(model.versions)
    return trees.call(model.backend, trees.text(model.artifact), **keys_)


def _contract(model: Model) -> syntax.Block | None:
    items: list[syntax.Setting | syntax.Nested | syntax.State] = []
    if "cache.size" in model.settings and BACKENDS[model.backend].effects != "none":
        items.append(trees.setting("effects", trees.name("none")))
    if is_complete(model):
        items += _tensors(model)
        items += _ragged(model)
        labels = {t.port: trees.text(t.labels) for t in model.outputs if t.labels}
        items += [trees.nested("labels", *(trees.setting(k, v) for k, v in labels.items()))] if labels else []
    items += _sequence(model)
    items += [_state(s) for s in model.states]
    return trees.block(*items) if items else None


def _tensors(model: Model) -> Iterator[syntax.Nested]:
    both = {t.port for t in model.inputs} & {t.port for t in model.outputs}
    renamed = {}
    for side, tensors in (("in", model.inputs), ("out", model.outputs)):
        for tensor in tensors:
            if tensor.port != tensor.tensor:
                key = f"{side}.{tensor.port}" if tensor.port in both else tensor.port
                renamed[key] = trees.text(tensor.tensor)
    if renamed:
        yield trees.nested("tensors", *trees.settings(renamed))


def _ragged(model: Model) -> Iterator[syntax.Nested]:
    """One rule for each ragged size."""
    dims = dims_of(model)
    rules = {}
    for packing in model.packings:
        for dim in dims[f"in.{packing.source}"]:
            if isinstance(dim, str) and dim.startswith("~"):
                keys_ = {"offsets": trees.name(packing.offsets)} if packing.offsets else {}
                rules[dim[1:]] = trees.call("pack", **keys_)
    if rules and model.max_rows:
        yield trees.nested("ragged", *(trees.setting(k, v) for k, v in rules.items()))


def _sequence(model: Model) -> Iterator[syntax.Nested]:
    sequence = model.sequence
    if sequence is None:
        return
    flat: dict[str, syntax.Expr] = {role: trees.text(tensor) for role, tensor in sequence.controls.items()}
    if sequence.idle:
        flat["idle"] = trees.duration(sequence.idle)
    flat["slots.strategy"] = trees.name(sequence.strategy)
    if sequence.slots:
        flat["slots.max"] = trees.number(sequence.slots)
    if sequence.delay:
        flat["slots.delay"] = trees.duration(sequence.delay)
    yield trees.nested("sequence", *trees.settings(flat))


def _state(state: State) -> syntax.State:
    return syntax.State(
        trees.ident(state.name),
        trees.type_(state.dtype, [f"{state.name}_{axis}" if n < 0 else n for axis, n in enumerate(state.dims)]),
        trees.call("zeros"),
        state.tensor_in,
        state.tensor_out,
        span=trees.NOWHERE,
    )
