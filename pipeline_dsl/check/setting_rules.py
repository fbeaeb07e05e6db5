"""What settings must mean together and for their stage: E0508, E0605, E0606, E0608, E0609, W0601.

Each function takes all settings that hold at a place and the `own` ones that a block for it says; only own settings
are reported, so that nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline_dsl import ir
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.calls import UnlistedVersion
from pipeline_dsl.errors.settings import (
    LateDeadline,
    NoEffect,
    NoRowAxis,
    NotCacheable,
    SettingsDisagree,
    TooLarge,
    UnknownSetting,
    WrongSetting,
)
from pipeline_dsl.literals import duration
from pipeline_dsl.settings import DEFAULTS
from pipeline_dsl.source import Span

from .ragged import upper_bound
from .signatures import sizes_of

_WARMUP_WORDS = ("batch", "count", "data")


def check_stage(name: str, stage: ir.Stage, settings: ir.Settings, own: ir.Settings, sink: Sink) -> None:
    """A profile's block for a stage."""
    _batching(name, stage, own, sink)
    _preferred(settings, own, sink)
    _levels(settings, own, sink)
    _warmup(stage, settings, own, sink)
    _slots(stage, own, sink)
    _cache(name, stage, own, sink)
    _effect(settings, own, sink)
    _ahead(stage, own, sink)
    _versions(stage, own, sink)


def check_node(node: str, stage: ir.Stage, settings: ir.Settings, own: ir.Settings, sink: Sink) -> None:
    """A profile's block for one call site. The level of its priority must exist in the stage's queue."""
    check_stage(node, stage, settings, own, sink)
    levels = _value(settings, "queue.levels")
    priority = own.get("priority")
    if priority is not None and priority.value > levels:
        text = f"`priority` is {priority.value}, and the stage's queue has {levels} level{'s' if levels > 1 else ''}"
        hint = f"set `queue {{ levels = {priority.value} }}` for `{stage.name}`"
        sink.add(SettingsDisagree(_span(priority), text, help=hint).diagnostic())


def check_pipeline(graph: ir.Graph, own: ir.Settings, nodes: Mapping[str, ir.Settings], sink: Sink) -> None:
    """A profile's block for a pipeline; `nodes` are those for its call sites."""
    for key in ("rate_limit.per", "rate_limit.burst", "rate_limit.by"):
        if key in own and "rate_limit.rate" not in own:
            sink.add(NoEffect(_span(own[key]), key, "there is no `rate_limit.rate`", "set `rate`").diagnostic())
    rate = own.get("rate_limit.rate")
    if rate is not None and not rate.value > 0:
        needs, hint = "a number above 0", "`max_inflight = 1` lets one request in at a time"
        sink.add(WrongSetting(_span(rate), "rate_limit.rate", needs, f"{rate.value:g}", hint).diagnostic())
    whole = own.get("timeout")
    if whole is not None and whole.value:
        for node in ir.walk(graph.nodes):
            if isinstance(node, ir.Call | ir.Try):
                _deadline(node, nodes.get(node.id, {}).get("timeout"), whole, sink)


def _deadline(node: ir.Call | ir.Try, setting: ir.SettingValue | None, whole: ir.SettingValue, sink: Sink) -> None:
    """E0508: a call or a `try` that may take longer than the request it is part of."""
    limit, span = (node.timeout_ns, node.span) if setting is None else (setting.value, setting.span)
    if limit is not None and span is not None and limit > whole.value:
        sink.add(LateDeadline(span, node.id, duration(limit), duration(whole.value), _span(whole)).diagnostic())


def _value(settings: ir.Settings, key: str) -> Any:
    found = settings.get(key)
    return DEFAULTS.get(key) if found is None else found.value


def _span(setting: ir.SettingValue) -> Span:
    assert setting.span is not None, "every setting of a profile has a place"
    return setting.span


def _batching(name: str, stage: ir.Stage, own: ir.Settings, sink: Sink) -> None:
    """E0605: there are no rows to batch."""
    key = next((k for k in own if k.startswith("batching.")), None)
    if key is None or stage.signature.has_rows:
        return
    port = stage.signature.inputs[0] if stage.signature.inputs else None
    suggestion = ""
    if port is not None:
        inner = ", ".join(map(str, port.type.dims))
        suggestion = f"{port.name}: {port.type.dtype}[*{', ' if inner else ''}{inner}]"
    span = port.span if port is not None else None
    sink.add(NoRowAxis(_span(own[key]), name, key, span, suggestion).diagnostic())


def _preferred(settings: ir.Settings, own: ir.Settings, sink: Sink) -> None:
    """E0608: a preferred size that no batch can have."""
    most = settings.get("batching.max")
    limit = _value(settings, "batching.max")
    preferred = settings.get("batching.preferred")
    if preferred is None or ("batching.preferred" not in own and "batching.max" not in own):
        return
    largest = max(preferred.value, default=0)
    if largest > limit:
        text = f"`preferred` has {largest}, and `max` is {limit}{'' if most else ' by default'}"
        other = _span(most) if most is not None else None
        hint = f"raise `max` to {largest}, or remove {largest}"
        sink.add(SettingsDisagree(_span(preferred), text, other, "`max` is set here", hint).diagnostic())


def _levels(settings: ir.Settings, own: ir.Settings, sink: Sink) -> None:
    """E0608: a priority level beyond `levels`."""
    levels = _value(settings, "queue.levels")
    default = own.get("queue.default_level")
    if default is not None and default.value > levels:
        text = f"`default_level` is {default.value}, and `levels` is {levels}"
        hint = f"set `levels = {default.value}`, or a level from 1 to {levels}; 1 is served first"
        sink.add(SettingsDisagree(_span(default), text, help=hint).diagnostic())
    for key, setting in own.items():
        if key.startswith("queue.level."):
            number = key.split(".")[2]
            if not number.isdecimal() or not 1 <= int(number) <= levels:
                text = f"there is no level {number}: `levels` is {levels}"
                hint = f"levels are whole numbers from 1 to {levels}; set `levels` for more"
                sink.add(SettingsDisagree(_span(setting), text, help=hint).diagnostic())


def _warmup(stage: ir.Stage, settings: ir.Settings, own: ir.Settings, sink: Sink) -> None:
    """E0606: warm-up beyond what can happen; E0603: a size that the stage does not have."""
    batch, limit = own.get("warmup.batch"), _value(settings, "batching.max")
    if batch is not None and max(batch.value, default=0) > limit:
        place = settings.get("batching.max")
        reason = "`batching.max`" if place is not None else "the default `batching.max`"
        span = _span(place) if place is not None else None
        sink.add(TooLarge(_span(batch), "warmup.batch", max(batch.value), limit, reason, span).diagnostic())
    sizes = sizes_of(stage.signature.inputs)
    for key, setting in own.items():
        block, _, name = key.partition(".")
        if block != "warmup" or name in _WARMUP_WORDS:
            continue
        if name not in sizes:
            allowed = (*_WARMUP_WORDS, *sizes)
            sink.add(UnknownSetting(_span(setting), name, "`warmup`", allowed).diagnostic())
            continue
        bound = upper_bound(name, stage.signature)
        if bound is not None and max(setting.value, default=0) > bound:
            reason = f"`where {name} <= {bound}` of `{stage.name}`"
            sink.add(TooLarge(_span(setting), key, max(setting.value), bound, reason).diagnostic())


def _slots(stage: ir.Stage, own: ir.Settings, sink: Sink) -> None:
    """E0608: instances that would never get a sequence."""
    rule, instances = stage.contract.sequence, own.get("instances")
    if instances is None or rule is None or not rule.slots or rule.strategy != "direct":
        return
    most = rule.slots
    if most < instances.value:
        text = f"{instances.value} instances share {most} direct slot{'s' if most > 1 else ''}"
        hint = "raise `slots { max = .. }` in the stage, or lower `instances`"
        sink.add(SettingsDisagree(_span(instances), text, help=hint).diagnostic())


def _cache(name: str, stage: ir.Stage, own: ir.Settings, sink: Sink) -> None:
    """E0609: answers that may not be given twice."""
    key = next((k for k in own if k.startswith("cache.")), None)
    if key is None:
        return
    span = _span(own[key])
    if any(p.type.stream for p in (*stage.signature.inputs, *stage.signature.outputs)):
        sink.add(NotCacheable(span, name, "it streams").diagnostic())
    elif stage.contract.sequence is not None:
        sink.add(NotCacheable(span, name, "it keeps state between requests").diagnostic())
    elif stage.contract.effects != "none":
        why = f"its effects are `{stage.contract.effects}`"
        hint = "write `effects = none` in the stage if its answer depends on its inputs only"
        sink.add(NotCacheable(span, name, why, hint).diagnostic())
    ports = tuple(p.name for p in stage.signature.inputs)
    for port in own["cache.key"].value if "cache.key" in own else ():
        if port not in ports:
            sink.add(UnknownSetting(_span(own["cache.key"]), port, "`cache.key`", ports, "port").diagnostic())


def _versions(stage: ir.Stage, own: ir.Settings, sink: Sink) -> None:
    """E0405: versions that the stage does not list."""
    for key in ("version", "versions"):
        setting = own.get(key)
        given = () if setting is None or isinstance(setting.value, str) else setting.value
        for version in given if isinstance(given, tuple) else (given,):
            if setting is not None and version not in stage.contract.versions:
                mistake = UnlistedVersion(_span(setting), stage.name, version, stage.contract.versions, stage.span)
                sink.add(mistake.diagnostic())


def _effect(settings: ir.Settings, own: ir.Settings, sink: Sink) -> None:
    """W0601: settings that another one makes idle."""
    if _value(settings, "batching.max") == 1:
        for key in ("batching.delay", "batching.preferred"):
            if key in own and own[key].value:
                sink.add(NoEffect(_span(own[key]), key, "`batching.max` is 1", "raise `max`").diagnostic())
    if "queue.on_timeout" in own and not _timeouts(settings):
        why = "there is no `queue.timeout`"
        sink.add(NoEffect(_span(own["queue.on_timeout"]), "queue.on_timeout", why, "set `timeout`").diagnostic())
    for key in ("warmup.count", "warmup.data"):
        if key in own and "warmup.batch" not in settings and not _warmup_sizes(settings):
            sink.add(NoEffect(_span(own[key]), key, "there is no `warmup.batch`", "set `batch`").diagnostic())
    for key in ("cache.ttl", "cache.key"):
        if key in own and "cache.size" not in settings:
            sink.add(NoEffect(_span(own[key]), key, "there is no `cache.size`", "set `size`").diagnostic())
    if "graphs" in own and "sms" in settings:
        why, advice = "the work of stages with `sms` is not captured", "leave one of the two out"
        sink.add(NoEffect(_span(own["graphs"]), "graphs", why, advice).diagnostic())


def _ahead(stage: ir.Stage, own: ir.Settings, sink: Sink) -> None:
    """W0601: a bound of streams where there are none."""
    for key in ("ahead.max", "ahead.bytes"):
        if key in own and not any(p.type.stream for p in stage.signature.outputs):
            advice = "it is for stages with an output `stream T`"
            sink.add(NoEffect(_span(own[key]), key, f"stage `{stage.name}` makes no stream", advice).diagnostic())


def _timeouts(settings: ir.Settings) -> bool:
    return any(k.startswith("queue.") and k.endswith(".timeout") and s.value for k, s in settings.items())


def _warmup_sizes(settings: ir.Settings) -> bool:
    return any(k.startswith("warmup.") and k.partition(".")[2] not in _WARMUP_WORDS for k in settings)
