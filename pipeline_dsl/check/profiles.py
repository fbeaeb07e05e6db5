"""Profiles -> `ir.Schedule`: which setting holds for which stage, call site and pipeline, and who said so.

A node's own block wins over its stage's, that over `*`; of two profiles the child's wins over the parent's. Settings
are merged leaf by leaf, lists are replaced. Without a selected profile all of them are checked and none is applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.settings import IdleSetting, UnknownSetting
from pipeline_dsl.settings import is_idle, tree

from .blocks import Leaf, leaves
from .inherit import lineage
from .overrides import check_overrides
from .placement import check_devices, check_sms, check_transfers
from .scope import Scope
from .selectors import Everything, Pipelines, Selected, Selectors, Stages
from .setting_rules import check_node, check_pipeline, check_stage
from .setting_values import read_setting

Layer = dict[str, ir.SettingValue]


@dataclass(slots=True)
class _Draft:
    """A schedule in the making. `everywhere` is what `*` says."""

    everywhere: Layer = field(default_factory=dict)
    stages: dict[str, Layer] = field(default_factory=dict)
    nodes: dict[str, Layer] = field(default_factory=dict)
    pipelines: dict[str, Layer] = field(default_factory=dict)


def schedule_of(scope: Scope, graphs: Mapping[str, ir.Graph], profile: str | None, sink: Sink) -> ir.Schedule:
    """The schedule of the selected profile. All profiles are checked if none is selected."""
    selectors = Selectors(scope, graphs)
    if profile is not None:
        return _profile(profile, scope, selectors, sink)
    for name in scope.profiles:
        _profile(name, scope, selectors, sink)
        check_overrides(name, scope, sink)
    return ir.Schedule()


def _profile(name: str, scope: Scope, selectors: Selectors, sink: Sink) -> ir.Schedule:
    draft = _Draft()
    for profile in lineage(scope, name, sink):
        for item in profile.items:
            _item(item, profile, draft, scope, selectors, sink)
    schedule = ir.Schedule(
        profile=name,
        stages=_stages(draft, selectors),
        nodes={k: v for k, v in draft.nodes.items() if v},
        pipelines={k: v for k, v in draft.pipelines.items() if v},
    )
    _check(schedule, draft, selectors, sink)
    if scope.options.device:
        return schedule
    if scope.options.hardware is not None:
        check_devices(schedule, scope.options.hardware, sink)
    for name, _, settings, own in _written(schedule, draft, selectors):
        check_sms(settings, own, name, sink)
    check_transfers(schedule, selectors.graphs.values(), selectors.stages, sink)
    return schedule


def _item(
    item: syntax.Setting | syntax.Nested | syntax.Everywhere,
    profile: syntax.Profile,
    draft: _Draft,
    scope: Scope,
    selectors: Selectors,
    sink: Sink,
) -> None:
    if isinstance(item, syntax.Setting):
        if selectors.param(item.key) is None:
            params = selectors.params
            sink.add(UnknownSetting(item.key.span, str(item.key), f"profile `{profile.name}`", params).diagnostic())
        return
    found = Everything() if isinstance(item, syntax.Everywhere) else selectors.select(item, sink)
    if found is None:
        return
    place, table = _table(found)
    layer: Layer = {}
    for leaf in leaves(item.block, table, place, sink):
        value = read_setting(leaf.spec, leaf.key, leaf.setting.value, scope, sink)
        if value is not None:
            layer[leaf.key] = ir.SettingValue(value[0], _origin(profile, leaf), leaf.setting.span)
        if is_idle(leaf.key):
            sink.add(IdleSetting(leaf.setting.span, leaf.key).diagnostic())
    _enter(found, layer, draft)


def _table(found: Selected) -> tuple[str, Any]:
    match found:
        case Everything():
            return "`*`", tree("stage")
        case Pipelines(name=name):
            return f"pipeline `{name}`", tree("pipeline")
        case Stages(name=name, stage=stage):
            return f"stage `{name}`", tree("stage", stage.backend)
        case _:
            return f"node `{found.id}`", tree("stage", found.backend)


def _origin(profile: syntax.Profile, leaf: Leaf) -> str:
    span = leaf.setting.span
    return f"profile {profile.name}, {span.source.path}:{span.line}"


def _enter(found: Selected, layer: Layer, draft: _Draft) -> None:
    match found:
        case Everything():
            draft.everywhere |= layer
        case Pipelines(name=name):
            draft.pipelines.setdefault(name, {}).update(layer)
        case Stages(key=key):
            draft.stages.setdefault(key, {}).update(layer)
        case _:
            draft.nodes.setdefault(found.id, {}).update(layer)


def _stages(draft: _Draft, selectors: Selectors) -> dict[str, ir.Settings]:
    """What holds for each stage: `*`, then its own block; for a version also what the stage says."""
    found: dict[str, ir.Settings] = {}
    for name, stage in selectors.stages.items():
        merged = {**_applicable(draft.everywhere, stage), **draft.stages.get(name, {})}
        if merged:
            found[name] = merged
    for key, layer in draft.stages.items():
        name, _, version = key.partition("@")
        if version:
            found[key] = {**found.get(name, {}), **layer}
    return found


def _applicable(layer: Layer, stage: ir.Stage) -> Layer:
    """What of `*` means something for a stage: batching needs rows, some keys a backend."""
    table = tree("stage", stage.backend)
    return {
        key: value
        for key, value in layer.items()
        if not isinstance(table.find(tuple(key.split("."))), int)
        and (stage.signature.has_rows or not key.startswith("batching."))
    }


def _check(schedule: ir.Schedule, draft: _Draft, selectors: Selectors, sink: Sink) -> None:
    """What settings must mean together: each layer that was written is looked at with all that holds there."""
    for name, stage, settings, own in _written(schedule, draft, selectors):
        check = check_node if name in draft.nodes else check_stage
        check(name, stage, settings, own, sink)
    for name, layer in draft.pipelines.items():
        check_pipeline(selectors.graphs[name], layer, draft.nodes, sink)


def _written(
    schedule: ir.Schedule, draft: _Draft, selectors: Selectors
) -> Iterator[tuple[str, ir.Stage, ir.Settings, ir.Settings]]:
    """Each block for a stage or a node: its name, its stage, all that holds there, and what it says itself."""
    for key, layer in draft.stages.items():
        yield key, selectors.stages[key.partition("@")[0]], schedule.stages.get(key, {}), layer
    for node, layer in draft.nodes.items():
        call = selectors.calls[node]
        yield node, selectors.stages[call.stage], {**schedule.stages.get(call.stage, {}), **layer}, layer
