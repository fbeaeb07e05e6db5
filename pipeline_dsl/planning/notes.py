"""What `pipectl plan` says beside the bare facts, in the order of stages and pipelines.

`batching`: how a stage batches, or why it can not. `run`: which steps run as one. `control`: what a construct does.
`copy`: where data is copied, with bytes per row where sizes are known. `setting`: what each key of the profile changed,
and where it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline_dsl.ir import Call, Program, Settings
from pipeline_dsl.literals import duration
from pipeline_dsl.plan import AUTO, FusedPlan, Note, PipelinePlan, PortPlan, StagePlan
from pipeline_dsl.settings import DEFAULTS, Place
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Rows, Sized
from pipeline_dsl.units import bytes_text

from .call_facts import fixed_ports, known_sizes
from .control_notes import control_notes
from .copies import copy_notes
from .fused import fused_notes
from .reading import value_text


def notes(
    program: Program,
    stages: Sequence[StagePlan],
    pipelines: Mapping[str, PipelinePlan],
    calls: Sequence[Call],
    fused: Sequence[FusedPlan] = (),
) -> tuple[Note, ...]:
    """All notes of a plan. `calls` are the call sites that are left after the passes."""
    known = known_sizes(pipelines.values(), stages)
    fixed = fixed_ports(pipelines.values(), stages)
    found = [
        note
        for stage in stages
        for note in (
            *batching_notes(stage, known.get(stage.index, frozenset()), fixed.get(stage.index, frozenset())),
            *keeping_notes(stage),
        )
    ]
    found += fused_notes(fused, pipelines.values(), stages)
    found += [note for pipeline in pipelines.values() for note in control_notes(pipeline, stages)]
    found += [note for pipeline in pipelines.values() for note in copy_notes(pipeline, stages)]
    found += setting_notes(program, calls)
    return tuple(found)


def batching_notes(stage: StagePlan, known: frozenset[str], fixed: frozenset[str]) -> Iterator[Note]:
    """How rows of several requests come together at a stage; `known` sizes are one number, and `fixed` ports one
    constant, at every call."""
    yield Note(stage.name, "batching", _how(stage))
    if not stage.has_rows:
        return
    for port in stage.inputs:
        if not port.type.has_rows and not port.filled and port.name not in fixed:
            yield Note(stage.name, "batching", _equal_value(port))
    for size in _shared_sizes(stage):
        if not known.issuperset(symbol.name for symbol in size.symbols):
            yield Note(stage.name, "batching", f"batches by equal `{size}`")
    if stage.contract.rows is not None:
        yield Note(stage.name, "batching", f"runs {stage.contract.rows} rows at a time: the artifact's rows are fixed")
    for rule in stage.contract.ragged:
        if rule.how == "pad":
            yield Note(stage.name, "batching", _padding(rule.dim, rule.buckets))


def keeping_notes(stage: StagePlan) -> Iterator[Note]:
    """What a stage keeps from one execution to the next, and what it holds while it runs."""
    rule = stage.contract.sequence
    if rule is not None:
        slots = rule.slots or (stage.batching.max_rows if stage.has_rows else 1)
        held = ", ".join(f"`{s.name}: {s.type}`" for s in stage.contract.states)
        kind = f", {rule.strategy} slots" if stage.has_rows else ""
        text = f"{slots} sequence{'s' if slots > 1 else ''} an instance{kind}, over after {duration(rule.idle_ns)}"
        yield Note(stage.name, "batching", f"{text}; {f'keeps {held}' if held else 'what it keeps is its own'}")
    if (cache := stage.cache) is not None:
        ttl = f" for {duration(cache.ttl_ns)}" if cache.ttl_ns else ""
        key = f" of equal {', '.join(f'`{name}`' for name in cache.key)}" if cache.key else ""
        yield Note(stage.name, "batching", f"keeps answers{key}{ttl}, up to {bytes_text(cache.max_bytes)}")
    if stage.sms:
        text = f"its work is kept to {stage.sms} multiprocessors of its GPU, on streams that are not counted below"
        yield Note(stage.name, "batching", text)
    if stage.limits:
        units = ", ".join(f"{c.units} of `{c.name}`" for c in stage.limits)
        yield Note(stage.name, "batching", f"a batch holds {units}, priority {stage.limit_priority}")


def setting_notes(program: Program, calls: Sequence[Call]) -> Iterator[Note]:
    """One note for each key that a profile set, for what the plan uses."""
    used = {call.stage for call in calls}
    schedule = program.schedule
    for name, settings in schedule.stages.items():
        if name.partition("@")[0] in used:
            inherited = schedule.stages.get(name.partition("@")[0], {}) if "@" in name else {}
            own = {key: s for key, s in settings.items() if inherited.get(key) != s}
            yield from _changed("stage", name, own)
    for call in calls:
        yield from _changed("stage", call.id, schedule.nodes.get(call.id, {}))
    for name, settings in schedule.pipelines.items():
        if name in program.pipelines:
            yield from _changed("pipeline", name, settings)


def _changed(kind: Place, place: str, settings: Settings) -> Iterator[Note]:
    for key, setting in settings.items():
        value = value_text(kind, key, setting.value)
        text = f"{key} = {value}{_default_text(kind, key, setting.value)}, from {setting.origin}"
        yield Note(place, "setting", text)


def _default_text(kind: Place, key: str, value: Any) -> str:
    usual = DEFAULTS.get(key)
    if usual is None or usual in ("", ()):
        return ""
    return " (the default)" if value == usual else f" (default {value_text(kind, key, usual)})"


def _how(stage: StagePlan) -> str:
    if not stage.has_rows:
        return "no `*`: once per request"
    most = f"up to {stage.batching.max_rows} rows" if stage.batching.max_rows else "any number of rows"
    if stage.batching.max_rows == 1:
        most = "one row at a time"
    delay = stage.batching.delay_ns
    if delay == AUTO:
        return f"{most}, waits as long as it pays"
    return f"{most}, waits up to {duration(delay)}" if delay else f"{most}, takes what waits"


def _equal_value(port: PortPlan) -> str:
    if port.type.rank == 0:
        return f"batches by equal `{port.name}`"
    return f"batches only calls that share one `{port.name}`: it has no `*`"


def _shared_sizes(stage: StagePlan) -> list[Size]:
    """Sizes beside `*` that one call can have only once, in order."""
    dims = [d for port in stage.inputs if port.type.has_rows and not port.filled for d in port.type.dims]
    sizes = [d.size for d in dims if not isinstance(d, Rows) and isinstance(d, Sized)]
    return list(dict.fromkeys(size for size in sizes if size.value is None))


def _padding(dim: str, buckets: tuple[int, ...]) -> str:
    if not buckets:
        return f"pads `{dim}` to the longest row of a batch"
    return f"pads `{dim}` to {', '.join(map(str, buckets))}"
