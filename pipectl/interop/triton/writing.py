"""`Model` and `Ensemble` -> Triton's configuration, as data.

Only what a file or profile says is written; what it leaves open stays open for Triton, too. A stage with rows gets
`dynamic_batching`, because here its requests share batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import PurePath
from typing import Any

from .dtypes import triton_name
from .model import BACKENDS, FILES, Ensemble, Model, Packing, Sequence, State, Step, Tensor
from .overlay import Data

CONTROLS = {
    "start": "CONTROL_SEQUENCE_START",
    "end": "CONTROL_SEQUENCE_END",
    "ready": "CONTROL_SEQUENCE_READY",
    "id": "CONTROL_SEQUENCE_CORRID",
}
OFFSETS = "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO"


def model_data(model: Model) -> Data:
    """The configuration of a stage."""
    filled = {p.offsets for p in model.packings}
    data: Data = {"name": model.shown}
    if model.backend in BACKENDS:
        data["backend"] = BACKENDS[model.backend]
        filename = PurePath(model.artifact).name
        if model.backend != "python" and filename != FILES[model.backend]:
            data["default_model_filename"] = filename
    data |= _filled(
        version_policy={"specific": {"versions": list(model.settings["versions"])}} if _has(model, "versions") else {},
        max_batch_size=model.max_rows,
        input={t.tensor: _tensor(t, bool(model.max_rows)) for t in model.inputs if t.port not in filled},
        output={t.tensor: _tensor(t, bool(model.max_rows)) for t in model.outputs},
        batch_input=[_offsets(p, model) for p in model.packings if p.offsets],
        instance_group=list(_instances(model.settings)),
        optimization=_optimization(model),
        parameters=_parameters(model),
        model_warmup=list(_warmups(model)),
        model_transaction_policy={"decoupled": True} if model.stream else {},
        response_cache={"enable": True} if _has(model, "cache.size") else {},
    )
    return data | _scheduling(model)


def ensemble_data(ensemble: Ensemble, callees: Mapping[str, Model | Ensemble]) -> Data:
    """The configuration of a pipeline; `callees` are what its steps call, by their names here."""
    scheduling = _filled(
        step=[_step(s, callees[s.stage]) for s in ensemble.steps],
        max_inflight_requests=ensemble.settings.get("max_inflight", 0),
    )
    data: Data = {"name": ensemble.shown, "platform": "ensemble"}
    return data | _filled(
        max_batch_size=ensemble.max_rows,
        input={t.tensor: _tensor(t, reshapes=False) for t in ensemble.inputs},
        output={t.tensor: _tensor(t, reshapes=False) for t in ensemble.outputs},
        ensemble_scheduling=scheduling,
    )


def _has(model: Model, key: str) -> bool:
    return bool(model.settings.get(key))


def _filled(**fields: Any) -> Data:
    """Fields with something in them."""
    return {name: value for name, value in fields.items() if value}


def _micro(nanoseconds: int) -> int:
    """Microseconds; part of one counts as one."""
    return -(-nanoseconds // 1000)


# ---- tensors


def _tensor(tensor: Tensor, reshapes: bool) -> Data:
    """A tensor without dims is `[1]` on the wire; only a model with rows may reshape that to nothing."""
    data: Data = {"data_type": triton_name(tensor.dtype), "dims": list(tensor.dims) or [1]}
    if not tensor.dims and reshapes:
        data["reshape"] = {}
    return data | _filled(
        allow_ragged_batch=tensor.ragged and reshapes,
        optional=tensor.optional,
        label_filename=PurePath(tensor.labels).name,
    )


def _offsets(packing: Packing, model: Model) -> Data:
    names = {t.port: t.tensor for t in model.inputs}
    return {
        "kind": OFFSETS,
        "target_name": [packing.tensor],
        "data_type": triton_name(packing.dtype),
        "source_input": [names[packing.source]],
    }


def _step(step: Step, callee: Model | Ensemble) -> Data:
    inputs = {t.port: t.tensor for t in callee.inputs}
    outputs = {t.port: t.tensor for t in callee.outputs}
    return {
        "model_name": callee.shown,
        "model_version": step.version or -1,
        "input_map": {inputs[port]: tensor for port, tensor in step.inputs.items()},
        "output_map": {outputs[port]: tensor for port, tensor in step.outputs.items()},
    }


# ---- schedule


def _instances(settings: Mapping[str, Any]) -> Iterator[Data]:
    device = settings.get("device", "")
    resources = {k.removeprefix("limit.resource."): n for k, n in settings.items() if k.startswith("limit.resource.")}
    limiter = _filled(
        resources=[_filled(name=name, count=count) for name, count in resources.items()],
        priority=settings.get("limit.priority", 0),
    )
    if device or limiter or "instances" in settings:
        kinds = {"cpu": "KIND_CPU", "cuda": "KIND_GPU"}
        gpus = [int(n) for n in device.removeprefix("cuda:").split(",")] if device.startswith("cuda") else []
        group: Data = {"count": settings.get("instances", 1)}
        yield group | _filled(kind=kinds.get(device.partition(":")[0], ""), gpus=gpus, rate_limiter=limiter)


def _scheduling(model: Model) -> Data:
    if model.sequence is not None:
        return {"sequence_batching": _sequence(model.sequence, model.states)}
    batching = _batching(model.settings)
    return {"dynamic_batching": batching} if model.max_rows or batching else {}


def _batching(settings: Mapping[str, Any]) -> Data:
    delay = settings.get("batching.delay", 0)
    levels = sorted({int(k.split(".")[2]) for k in settings if k.startswith("queue.level.")})
    return _filled(
        preferred_batch_size=list(settings.get("batching.preferred", ())),
        max_queue_delay_microseconds=_micro(delay) if isinstance(delay, int) else 0,
        preserve_ordering=settings.get("batching.order") == "keep",
        priority_levels=settings.get("queue.levels", 0),
        default_priority_level=settings.get("queue.default_level", 0),
        default_queue_policy=_queue(settings, "queue."),
        priority_queue_policy={str(n): _queue(settings, f"queue.level.{n}.") for n in levels},
    )


def _queue(settings: Mapping[str, Any], block: str) -> Data:
    return _filled(
        timeout_action="DELAY" if settings.get(f"{block}on_timeout") == "delay" else "",
        default_timeout_microseconds=_micro(settings.get(f"{block}timeout", 0)),
        allow_timeout_override=settings.get(f"{block}override", False),
        max_queue_size=settings.get(f"{block}max", 0),
    )


def _sequence(sequence: Sequence, states: tuple[State, ...]) -> Data:
    oldest = sequence.strategy == "oldest"
    slots = _filled(
        max_candidate_sequences=sequence.slots if oldest else 0,
        max_queue_delay_microseconds=_micro(sequence.delay),
    )
    data = _filled(
        max_sequence_idle_microseconds=_micro(sequence.idle),
        control_input=[_control(role, tensor) for role, tensor in sequence.controls.items()],
        state=[_state(s) for s in states],
    )
    return data | {sequence.strategy: slots}


def _control(role: str, tensor: str) -> Data:
    told = {"data_type": "TYPE_UINT64"} if role == "id" else {"int32_false_true": [0, 1]}
    return {"name": tensor, "control": [{"kind": CONTROLS[role], **told}]}


def _state(state: State) -> Data:
    shape = {"data_type": triton_name(state.dtype), "dims": list(state.dims) or [1]}
    initial = {"initial_state": [{**shape, "zero_data": True, "name": state.name}]} if state.zeros else {}
    return {"input_name": state.tensor_in, "output_name": state.tensor_out, **shape, **initial}


def _warmups(model: Model) -> Iterator[Data]:
    """One request for each batch size and each combination of sizes."""
    settings = model.settings
    if not _has(model, "warmup.batch"):
        return
    words = ("batch", "count", "data")
    sizes = {k.removeprefix("warmup."): v for k, v in settings.items() if k.startswith("warmup.")}
    sizes = {name: values for name, values in sizes.items() if name not in words}
    data = "random_data" if settings.get("warmup.data") == "random" else "zero_data"
    for batch, *chosen in product(settings["warmup.batch"], *sizes.values()):
        known = dict(zip(sizes, chosen))
        name = "_".join(map(str, ("warmup", batch, *chosen)))
        inputs = {t.tensor: _warm(t, known, data) for t in model.inputs}
        count = settings.get("warmup.count", 1)
        yield {"name": name, "batch_size": batch, "inputs": inputs} | ({"count": count} if count > 1 else {})


def _warm(tensor: Tensor, sizes: Mapping[str, int], data: str) -> Data:
    dims = [sizes.get(name, 1) if size < 0 else size for size, name in zip(tensor.dims, tensor.names)]
    return {"data_type": triton_name(tensor.dtype), "dims": dims or [1], data: True}


def _optimization(model: Model) -> Data:
    precision = model.settings.get("accelerate.tensorrt.precision", "")
    accelerator = {"name": "tensorrt", "parameters": {"precision_mode": precision.upper()}}
    graphs = [{"batch_size": size} for size in model.settings.get("graphs", ())]
    return _filled(
        cuda={"graphs": True, "graph_spec": graphs} if graphs else {},
        execution_accelerators={"gpu_execution_accelerator": [accelerator]} if precision else {},
    )


def _parameters(model: Model) -> Data:
    threads = model.settings.get("threads", 0)
    if not threads or model.backend != "onnx":
        return {}
    return {"intra_op_thread_count": {"string_value": str(threads)}}
