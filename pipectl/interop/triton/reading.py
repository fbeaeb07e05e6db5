"""A configuration of Triton, as data in its normal form, -> `Model`: what the language has words for.

What is not read here is found by comparing: `overlay.difference(model_data(model), data)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from pipectl.interop.trees import Names

from .dtypes import dtype_of
from .model import BACKENDS, FILES, Model, Packing, Sequence, State, Tensor
from .overlay import Data
from .writing import CONTROLS, OFFSETS

_OURS = {theirs: ours for ours, theirs in BACKENDS.items() if ours != "python"}
_ROLES = {kind: role for role, kind in CONTROLS.items()}
_CACHE = 64 << 20
"""Bytes of a response cache. Triton has one size for the whole server, and not in the configuration."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model was found. `folder` is what paths of its files begin with."""

    folder: str
    versions: tuple[int, ...] = (1,)
    """Numbered folders in it."""


@dataclass(frozen=True, slots=True)
class _View:
    """What holds for all tensors of a model."""

    folder: str
    rows: bool
    packs: bool
    """Rows of unequal size can stand one after the other: not where each sequence keeps a row of the batch."""


def model_of(data: Data, name: str, place: Place) -> Model:
    """The stage of a model's configuration."""
    sequence, states = data.get("sequence_batching"), Names()
    taken, given = Names("ctx"), Names()
    view = _View(place.folder, data.get("max_batch_size", 0) > 0, sequence is None or "oldest" in sequence)
    inputs = tuple(_tensor(t, f, taken, view) for t, f in named(data.get("input", {})))
    packings = tuple(_packings(data, inputs, taken))
    inputs += tuple(Tensor(p.offsets, p.tensor, p.dtype, (-1,)) for p in packings if p.offsets)
    outputs = tuple(_tensor(t, f, given, view) for t, f in named(data.get("output", {})))
    backend = _OURS.get(data.get("backend", ""), "triton")
    title = data.get("name", name)
    return Model(
        name=name,
        title=title if title != name else "",
        backend=backend,
        artifact=_artifact(data, backend, place),
        max_rows=data.get("max_batch_size", 0),
        inputs=inputs,
        outputs=outputs,
        versions=_versions(data, place),
        stream=not view.rows and data.get("model_transaction_policy", {}).get("decoupled", False),
        packings=packings,
        sequence=None if sequence is None else _sequence(sequence, frozenset(t.tensor for t in inputs)),
        states=tuple(_state(s, states) for s in (sequence or {}).get("state", ()) if dtype_of(s.get("data_type", ""))),
        settings=_settings(data),
    )


def named(tensors: Any) -> Iterable[tuple[str, Data]]:
    """Name and fields of each tensor, whichever form the data has."""
    return tensors.items() if isinstance(tensors, Mapping) else ((t.get("name", ""), t) for t in tensors)


def _artifact(data: Data, backend: str, place: Place) -> str:
    if backend == "triton":
        return str(data.get("name", ""))
    filename = data.get("default_model_filename", FILES[backend])
    return str(PurePath(place.folder, "{version}", filename))


def _versions(data: Data, place: Place) -> tuple[int, ...]:
    policy = data.get("version_policy", {})
    there = sorted(place.versions) or [1]
    if "specific" in policy:
        return tuple(sorted(set(policy["specific"].get("versions", ())))) or tuple(there[-1:])
    latest = policy.get("latest", {}).get("num_versions", 1)
    return tuple(there) if "all" in policy else tuple(there[-latest:])


# ---- tensors


def _tensor(tensor: str, fields: Data, names: Names, view: _View) -> Tensor:
    """Its dims are those that the model sees where a row is a single value; other reshapes stay Triton's."""
    dims = tuple(fields.get("dims", ()))
    alone = view.rows and fields.get("reshape") == {} and dims == (1,)
    labels = fields.get("label_filename", "")
    return Tensor(
        port=names.of(tensor),
        tensor=tensor,
        dtype=dtype_of(fields.get("data_type", "")) or "",
        dims=() if alone else dims,
        optional=fields.get("optional", False),
        ragged=view.packs and fields.get("allow_ragged_batch", False) and -1 in dims,
        labels=str(PurePath(view.folder, labels)) if labels else "",
    )


def _packings(data: Data, inputs: tuple[Tensor, ...], names: Names) -> Iterable[Packing]:
    """Ragged inputs; the first `batch_input` that says where their rows begin."""
    offsets: dict[str, Data] = {}
    for one in data.get("batch_input", ()):
        sources, targets = one.get("source_input", ()), one.get("target_name", ())
        if one.get("kind") == OFFSETS and len(sources) == len(targets) == 1 and dtype_of(one.get("data_type", "")):
            offsets.setdefault(sources[0], one)
    for tensor in inputs:
        if tensor.ragged:
            found = offsets.get(tensor.tensor)
            if found is None:
                yield Packing(tensor.port)
            else:
                target = found["target_name"][0]
                yield Packing(tensor.port, names.of(target), target, dtype_of(found["data_type"]) or "i32")


# ---- settings


def _settings(data: Data) -> dict[str, Any]:
    made: dict[str, Any] = {}
    made |= _instances(data.get("instance_group", []))
    if data.get("max_batch_size", 0) > 0:
        made["batching.max"] = data["max_batch_size"]
        made |= _batching(data.get("dynamic_batching", {}))
    made |= _queues(data.get("dynamic_batching", {}))
    versions = data.get("version_policy", {}).get("specific", {}).get("versions", ())
    if versions:
        made["versions"] = tuple(versions)
    if data.get("response_cache", {}).get("enable") and not _keeps(data):
        made["cache.size"] = _CACHE
    return made | _warmup(data.get("model_warmup", []), data) | _optimization(data)


def _keeps(data: Data) -> bool:
    """Answers depend on more than the request, or are many."""
    return "sequence_batching" in data or data.get("model_transaction_policy", {}).get("decoupled", False)


def _instances(groups: list[Data]) -> dict[str, Any]:
    """One group, or the number of instances of all."""
    if not groups:
        return {}
    first = groups[0]
    made: dict[str, Any] = {"instances": sum(g.get("count", 1) for g in groups if not g.get("passive")) or 1}
    gpus = first.get("gpus", [])
    kind = first.get("kind", "KIND_AUTO")
    if kind == "KIND_CPU":
        made["device"] = "cpu"
    elif gpus and len(set(gpus)) == len(gpus):
        made["device"] = "cuda:" + ",".join(map(str, gpus))
    else:
        made["device"] = "any"
    limiter = first.get("rate_limiter", {})
    for resource in limiter.get("resources", ()):
        if resource.get("name") and resource.get("count"):
            made[f"limit.resource.{resource['name']}"] = resource["count"]
    if limiter.get("priority"):
        made["limit.priority"] = limiter["priority"]
    return made


def _batching(data: Data) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if data.get("max_queue_delay_microseconds"):
        made["batching.delay"] = data["max_queue_delay_microseconds"] * 1000
    if data.get("preferred_batch_size"):
        made["batching.preferred"] = tuple(data["preferred_batch_size"])
    if data.get("preserve_ordering"):
        made["batching.order"] = "keep"
    return made


def _queues(data: Data) -> dict[str, Any]:
    made = _queue("queue.", data.get("default_queue_policy", {}))
    levels = data.get("priority_levels", 0)
    if levels:
        made["queue.levels"] = levels
        if data.get("default_priority_level"):
            made["queue.default_level"] = data["default_priority_level"]
        for level, policy in sorted(data.get("priority_queue_policy", {}).items(), key=lambda kv: int(kv[0])):
            made |= _queue(f"queue.level.{level}.", policy)
    return made


def _queue(block: str, policy: Data) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if policy.get("max_queue_size"):
        made[f"{block}max"] = policy["max_queue_size"]
    if policy.get("default_timeout_microseconds"):
        made[f"{block}timeout"] = policy["default_timeout_microseconds"] * 1000
        if policy.get("timeout_action") == "DELAY":
            made[f"{block}on_timeout"] = "delay"
    if policy.get("allow_timeout_override"):
        made[f"{block}override"] = True
    return made


def _warmup(warmups: list[Data], data: Data) -> dict[str, Any]:
    """Requests of zeros or of random data, where all are of one kind."""
    fields = [f for one in warmups for f in one.get("inputs", {}).values()]
    if not fields or not data.get("max_batch_size") or any("input_data_file" in f for f in fields):
        return {}
    batches = sorted({one.get("batch_size", 1) for one in warmups})
    made: dict[str, Any] = {"warmup.batch": tuple(b for b in batches if 0 < b <= data["max_batch_size"])}
    if not made["warmup.batch"]:
        return {}
    count = max(one.get("count", 1) for one in warmups)
    if count > 1:
        made["warmup.count"] = count
    if all(f.get("random_data") for f in fields):
        made["warmup.data"] = "random"
    return made


def _optimization(data: Data) -> dict[str, Any]:
    """What only some backends have a key for."""
    made: dict[str, Any] = {}
    optimization = data.get("optimization", {})
    if data.get("backend") == "onnxruntime":
        for one in optimization.get("execution_accelerators", {}).get("gpu_execution_accelerator", ()):
            precision = one.get("parameters", {}).get("precision_mode", "").lower()
            if one.get("name") == "tensorrt" and precision in ("fp32", "fp16", "int8"):
                made["accelerate.tensorrt.precision"] = precision
        threads = data.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value", "")
        if threads.isascii() and threads.isdigit() and 0 < int(threads) < 1 << 16:
            made["threads"] = int(threads)
    graphs = [s.get("batch_size", 0) for s in optimization.get("cuda", {}).get("graph_spec", ())]
    if graphs and all(graphs) and optimization["cuda"].get("graphs"):
        made["graphs"] = tuple(graphs)
    return made


# ---- sequences


def _sequence(data: Data, taken: frozenset[str]) -> Sequence:
    """Each control has a tensor of its own, that is none of the inputs in `taken`; others stay Triton's."""
    controls: dict[str, str] = {}
    for one in data.get("control_input", ()):
        for control in one.get("control", ()):
            role = _ROLES.get(control.get("kind", "CONTROL_SEQUENCE_START"))
            if role and one.get("name") and one["name"] not in taken:
                controls.setdefault(role, one["name"])
                taken |= {one["name"]}
    strategy: Literal["direct", "oldest"] = "oldest" if "oldest" in data else "direct"
    slots = data.get(strategy, {})
    return Sequence(
        controls,
        data.get("max_sequence_idle_microseconds", 0) * 1000,
        strategy,
        slots.get("max_candidate_sequences", 0),
        slots.get("max_queue_delay_microseconds", 0) * 1000,
    )


def _state(data: Data, names: Names) -> State:
    dims = tuple(data.get("dims", ()))
    initial = data.get("initial_state", ())
    return State(
        names.fresh((initial[0].get("name") if initial else "") or data.get("input_name", "state")),
        dtype_of(data["data_type"]) or "",
        dims,
        data.get("input_name", ""),
        data.get("output_name", ""),
        bool(initial) and "zero_data" in initial[0],
    )
