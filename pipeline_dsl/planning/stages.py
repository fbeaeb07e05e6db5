"""Which runtime serves which call: call sites of all pipelines -> one `StagePlan` per stage, version and private copy.

Call sites share a stage's runtime, and so each other's batches. A profile block for one call site that sets
something a runtime owns (instances, device, batching, ...) gives that node a copy of its own; what belongs to the
call (timeout, priority) does not. `threads` is left as set; `threads.spread` fills it in when levels are known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_dsl.ir import Call, Program, Settings, Stage
from pipeline_dsl.plan import DeviceOverride, Hardware, StagePlan
from pipeline_dsl.settings import CALL_KEYS

from .devices import CPU, resolve
from .policies import ahead_policy, batch_policy, cache_policy, claims, queue_policy, sequence_policy, warmup
from .ports import input_plans, output_plans
from .reading import read

_OWN_KEYS = CALL_KEYS | {"device", "instances", "threads", "isolate", "sms", "version", "versions"}
_OWN_BLOCKS = ("batching.", "queue.", "warmup.", "ahead.", "cache.", "limit.", "triton.")


@dataclass(frozen=True, slots=True)
class StageTable:
    """The runtimes of a plan, and for each call site the index of its own."""

    plans: tuple[StagePlan, ...]
    of_node: Mapping[str, int]
    settings: tuple[Settings, ...]
    """Merged settings of each runtime."""


@dataclass(frozen=True, slots=True)
class _Runtime:
    name: str
    stage: Stage
    version: int | None
    settings: Settings


def stage_table(
    program: Program, calls: Iterable[Call], hardware: Hardware, override: DeviceOverride = ""
) -> StageTable:
    """Runtimes in order of their first call, then versions that are kept loaded though nobody calls them.

    `override` goes before the devices that profiles say."""
    runtimes: dict[str, _Runtime] = {}
    names: dict[str, str] = {}
    for call in calls:
        runtime = _runtime_of(call, program)
        runtimes.setdefault(runtime.name, runtime)
        names[call.id] = runtime.name
    for runtime in _kept(program, [runtime.stage for runtime in runtimes.values()]):
        runtimes.setdefault(runtime.name, runtime)
    index = {name: i for i, name in enumerate(runtimes)}
    wanted = [(read(r.settings, "device"), r.stage.backend, read(r.settings, "instances")) for r in runtimes.values()]
    devices = resolve(wanted, hardware, override)
    plans = tuple(_plan(i, *placed) for i, placed in enumerate(zip(runtimes.values(), devices, strict=True)))
    settings = tuple(runtime.settings for runtime in runtimes.values())
    return StageTable(plans, {node: index[name] for node, name in names.items()}, settings)


def is_private(call: Call, program: Program) -> bool:
    """Whether a profile gives this call site a runtime of its own: it sets more than what belongs to the call."""
    return not CALL_KEYS.issuperset(program.schedule.nodes.get(call.id, {}))


def _runtime_of(call: Call, program: Program) -> _Runtime:
    stage = program.stages[call.stage]
    shared = program.schedule.stages.get(call.stage, {})
    latest = _latest(stage, shared)
    version = call.version if isinstance(call.version, int) else latest
    name = stage.name if version == latest else f"{stage.name}@{version}"
    settings = {**shared, **program.schedule.stages.get(f"{stage.name}@{version}", {})}
    if is_private(call, program):
        return _Runtime(call.id, stage, version, {**settings, **program.schedule.nodes[call.id]})
    return _Runtime(name, stage, version, settings)


def _kept(program: Program, stages: Iterable[Stage]) -> Iterator[_Runtime]:
    """Versions that a profile keeps loaded."""
    for stage in {stage.name: stage for stage in stages}.values():
        shared = program.schedule.stages.get(stage.name, {})
        latest = _latest(stage, shared)
        for version in read(shared, "versions"):
            name = stage.name if version == latest else f"{stage.name}@{version}"
            settings = {**shared, **program.schedule.stages.get(f"{stage.name}@{version}", {})}
            yield _Runtime(name, stage, version, settings)


def _latest(stage: Stage, settings: Settings) -> int | None:
    """The version of calls that pin none: what the profile says, else the newest that it keeps, or that there is."""
    chosen = settings.get("version")
    if chosen is not None and isinstance(chosen.value, int):
        return chosen.value
    return max(read(settings, "versions") or stage.contract.versions, default=None)


def _plan(index: int, runtime: _Runtime, device: str) -> StagePlan:
    stage, settings = runtime.stage, runtime.settings
    has_rows = stage.signature.has_rows
    return StagePlan(
        index=index,
        name=runtime.name,
        version=runtime.version,
        backend=stage.backend,
        arguments=stage.arguments,
        contract=stage.contract,
        folder=stage.folder,
        inputs=input_plans(stage),
        outputs=output_plans(stage),
        bounds=stage.signature.bounds,
        has_rows=has_rows,
        device=device,
        instances=read(settings, "instances"),
        threads=read(settings, "threads"),
        isolate=(isolate := read(settings, "isolate") == "process"),
        sms=0 if device == CPU or isolate else _sms(settings),
        batching=sequence_policy(batch_policy(settings, has_rows), stage.contract.sequence, has_rows),
        queue=queue_policy(settings),
        warmup=warmup(settings),
        cache=cache_policy(settings),
        limits=claims(settings),
        limit_priority=read(settings, "limit.priority"),
        ahead=ahead_policy(settings),
        extra=_extra(settings),
    )


def _sms(settings: Settings) -> int:
    found = settings.get("sms")
    return 0 if found is None else int(found.value)


def _extra(settings: Settings) -> dict[str, Any]:
    """What planning does not read itself is the backend's."""
    return {
        key: setting.value
        for key, setting in settings.items()
        if key not in _OWN_KEYS and not key.startswith(_OWN_BLOCKS)
    }


def labels_path(stage: Stage, port: str) -> str:
    """Where the class names of an output are listed; "" if it has none."""
    path = stage.contract.labels.get(port)
    return os.path.join(stage.folder, path) if path else ""
