"""Configurations of pipelines and steps as tools of a Triton server read them, made from the plan.

A pipeline is an ensemble of its steps; a step is a model with the instances, batching and queue of its stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline_dsl.ir import Constant
from pipeline_dsl.plan import AUTO, PipelinePlan, Slot, StagePlan, Step
from pipeline_dsl.types import TensorType

from .convert.datatypes import CONFIG
from .deployment import Served, ServedStep
from .protocol import message
from .wire_types import LENGTHS_OF, is_batched, platform, ragged_dims, row_limit, wire_shape


def pipeline_config(served: Served) -> Any:
    """An ensemble `ModelConfig`."""
    plan, program = served.plan, served.deployment.plan
    config = message("inference.ModelConfig")(name=served.name, platform=platform(served))
    config.max_batch_size = row_limit(program, plan)
    batched = config.max_batch_size > 0
    for port in plan.inputs:
        _tensor(config.input, port.name, port.type, batched, optional=port.has_default or port.type.optional)
    for out in plan.outputs:
        made = _tensor(config.output, out.name, out.type, batched)
        made.label_filename = out.labels.rpartition("/")[2]
    names = _slot_names(plan)
    for step in plan.every_step:
        if step.stage >= 0:
            _add_step(config.ensemble_scheduling.step, step, program.stages[step.stage], names)
    config.model_transaction_policy.decoupled = served.codec.streams
    config.version_policy.latest.num_versions = 1
    for name, value in served.deployment.source.params.items():
        config.parameters[name].string_value = value
    if served.deployment.source.profile:
        config.parameters["profile"].string_value = served.deployment.source.profile
    return config


def step_config(step: ServedStep) -> Any:
    """The `ModelConfig` of the stage that a step calls."""
    stage = step.stage
    config = message("inference.ModelConfig")(name=step.name, backend=stage.backend)
    batched = is_batched([p.type for p in (*stage.inputs, *stage.outputs)])
    config.max_batch_size = (stage.batching.max_rows or 1) if batched else 0
    for port in stage.inputs:
        _tensor(config.input, port.name, port.type, batched, optional=port.has_default or port.type.optional)
    for out in stage.outputs:
        _tensor(config.output, out.name, out.type, batched)
    _schedule(config, stage, batched)
    config.version_policy.latest.num_versions = 1
    return config


def _tensor(tensors: Any, name: str, declared: TensorType, batched: bool, *, optional: bool = False) -> Any:
    """A port, and its lengths behind it if it is ragged. The dim of the rows is not written where it is understood."""
    shape = wire_shape(declared)
    made = tensors.add(name=name, data_type=CONFIG[declared.dtype.kserve], dims=shape[1:] if batched else shape)
    if optional:
        made.optional = True
    if declared.is_ragged:
        count = ragged_dims(declared)
        tensors.add(name=name + LENGTHS_OF, data_type="TYPE_INT64", dims=[count] if batched else [-1, count])
    return made


def _slot_names(plan: PipelinePlan) -> dict[int, str]:
    """Names of the tensors between steps: a pipeline's own where it has one."""
    names = {port.slot: port.name for port in plan.inputs}
    for out in plan.outputs:
        if isinstance(out.source, Slot):
            names.setdefault(out.source.index, out.name)
    for step in plan.every_step:
        for place, slot in enumerate(step.outputs):
            names.setdefault(slot, f"{step.node}.{place}" if len(step.outputs) > 1 else step.node)
    return names


def _add_step(steps: Any, step: Step, stage: StagePlan, names: dict[int, str]) -> None:
    made = steps.add(model_name=step.node, model_version=-1)
    for port, source in zip(stage.inputs, step.args):
        if isinstance(source, Slot):
            made.input_map[port.name] = names.get(source.index, f"{step.node}.{port.name}")  # an item of a map
        elif isinstance(source, Constant):
            continue  # the stage gets it with every call; no tensor carries it
    for out, slot in zip(stage.outputs, step.outputs):
        made.output_map[out.name] = names[slot]


def _schedule(config: Any, stage: StagePlan, batched: bool) -> None:
    kind, gpus = ("KIND_GPU", _gpus(stage.device)) if stage.device.startswith("cuda") else ("KIND_CPU", [])
    config.instance_group.add(name=f"{stage.name}_0", count=stage.instances, kind=kind, gpus=gpus)
    if not batched:
        return
    dynamic = config.dynamic_batching
    dynamic.SetInParent()
    dynamic.preferred_batch_size.extend(stage.batching.preferred)
    if stage.batching.delay_ns != AUTO:
        dynamic.max_queue_delay_microseconds = stage.batching.delay_ns // 1000
    levels = stage.queue.levels
    if len(levels) > 1:
        dynamic.priority_levels = len(levels)
        dynamic.default_priority_level = stage.queue.default_level
    for number, level in enumerate(levels, start=1):
        policy = dynamic.priority_queue_policy[number] if len(levels) > 1 else dynamic.default_queue_policy
        policy.timeout_action = "DELAY" if level.on_timeout == "delay" else "REJECT"
        policy.default_timeout_microseconds = level.timeout_ns // 1000
        policy.allow_timeout_override = level.allow_override
        policy.max_queue_size = level.max_rows


def _gpus(device: str) -> Iterable[int]:
    number = device.partition(":")[2]
    return [int(number)] if number.isdigit() else [0]
