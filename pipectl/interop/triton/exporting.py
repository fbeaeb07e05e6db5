"""A checked program -> the configurations of a repository, and what there is to say about it. Pure.

Program -> Models and Ensembles -> configurations, with what `profile triton` kept laid over them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from pipectl.errors import ConversionError
from pipectl.interop.remarks import Remark
from pipeline_dsl import ir
from pipeline_dsl.errors.exporting import NoEqual

from .graphs import ensemble_of_graph
from .model import Ensemble, Model
from .overlay import Data, applied, config_of, data_of
from .stages import Written, model_of_stage
from .writing import ensemble_data, model_data


@dataclass(frozen=True, slots=True)
class Exported:
    """One folder of a repository: a stage with its model, or a pipeline."""

    folder: str
    config: Any
    stage: ir.Stage | None = None
    model: Model | None = None


@dataclass(frozen=True, slots=True)
class Repository:
    """What is to be written, and remarks on it; or the reasons against it, and then nothing is."""

    entries: tuple[Exported, ...]
    remarks: tuple[Remark, ...] = ()
    reasons: tuple[NoEqual, ...] = ()


def exported(program: ir.Program, pipelines: Sequence[str] | None = None) -> Repository:
    """The repository of some pipelines, or of everything in the file."""
    chosen = [g for name, g in program.pipelines.items() if pipelines is None or name in pipelines]
    names = {c.stage for g in chosen for c in g.calls} if pipelines is not None else set(program.stages)
    schedule = program.schedule
    models: dict[str, Model] = {}
    written: dict[str, Written] = {}
    for name, stage in program.stages.items():
        if name in names:
            models[name], written[name] = model_of_stage(stage, schedule.stages.get(name, {}))
    ensembles: dict[str, Ensemble] = {}
    for graph in chosen:
        ensemble, written[graph.name] = ensemble_of_graph(graph, models, schedule.pipelines.get(graph.name, {}))
        if ensemble is not None:
            ensembles[graph.name] = ensemble
    reasons = tuple(reason for one in written.values() for reason in one.reasons)
    if reasons:
        return Repository((), reasons=reasons)
    entries = [_model(m, program.stages[n], written[n].kept) for n, m in models.items()]
    entries += [_ensemble(e, models, written[n].kept) for n, e in ensembles.items()]
    _unequal(entries)
    return Repository(tuple(entries), tuple(_remarks(models, ensembles, written, schedule)))


def _model(model: Model, stage: ir.Stage, kept: Mapping[str, Any]) -> Exported:
    config = _config(model_data(model), kept, model.name)
    return Exported(config.name, config, stage, model)


def _ensemble(ensemble: Ensemble, models: Mapping[str, Model], kept: Mapping[str, Any]) -> Exported:
    config = _config(ensemble_data(ensemble, models), kept, ensemble.name)
    return Exported(config.name, config)


def _config(data: Data, kept: Mapping[str, Any], name: str) -> Any:
    made = data_of(config_of(data))
    try:
        return config_of(applied(made, kept))
    except json_format.ParseError as error:
        text = f"the `triton` block of `{name}` in the profile: {error}"
        raise ConversionError(text, "its keys and values are those of Triton's model configuration") from error


def _unequal(entries: Sequence[Exported]) -> None:
    """Each model needs a folder of its own."""
    seen: set[str] = set()
    for entry in entries:
        if entry.folder in seen:
            raise ConversionError(f"two models are called `{entry.folder}`", "rename one of them")
        if entry.folder in ("", ".", "..") or "/" in entry.folder or "\0" in entry.folder:
            raise ConversionError(f"`{entry.folder}` can not be the name of a model's folder", "rename it")
        seen.add(entry.folder)


def _remarks(
    models: Mapping[str, Model],
    ensembles: Mapping[str, Ensemble],
    written: Mapping[str, Written],
    schedule: ir.Schedule,
) -> Iterator[Remark]:
    owners: list[Model | Ensemble] = [*models.values(), *ensembles.values()]
    for owner in owners:
        about = f"model `{owner.shown}`"
        for key in written[owner.name].left_out:
            yield Remark(about, f"`{key}` has no equal in Triton and is left out")
        if isinstance(owner, Model) and owner.backend == "python":
            yield Remark(about, "runs in pipectl: the Python of Triton's python backend needs it installed")
    for node in schedule.nodes:
        yield Remark(f"node `{node}`", "settings of one call site have no equal in Triton and are left out")
