"""The configurations of a repository -> one module, and what there is to say about it. Pure.

entries -> Models and Ensembles -> stages, pipelines, `profile triton`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import networkx as nx

from pipectl.errors import ConversionError
from pipectl.interop import trees
from pipectl.interop.remarks import Remark
from pipeline_dsl import syntax
from pipeline_dsl.operations import FUNCTIONS

from .declare import is_complete, profile_block, stage_of
from .model import Ensemble, Model
from .normal import comparable, normal
from .overlay import Data, canonical, difference
from .pipelines import Callee, callee_of, pipeline_of
from .reading import Place, model_of, named
from .single import settled
from .wiring import ensemble_of
from .writing import ensemble_data, model_data

PROFILE = "triton"


@dataclass(frozen=True, slots=True)
class Entry:
    """A model as it was found. `path`: of its configuration, for messages; `notes`: what its folder made us say."""

    folder: str
    data: Data
    place: Place
    path: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """The module and its remarks."""

    module: syntax.Module
    remarks: tuple[Remark, ...]


def imported(entries: Iterable[Entry]) -> Imported:
    """The module of a repository. ConversionError with everything that Triton would not load either."""
    found = {e.folder: (e, normal(e.data, e.folder)) for e in entries}
    names = trees.Names(*FUNCTIONS, "env", "lines")
    models = {}
    for folder, (entry, data) in found.items():
        if "ensemble_scheduling" not in data:
            models[names.of(folder)] = model_of(data, names.of(folder), entry.place)
    ensembles = _ensembles(found, models, names)
    models, ensembles = settled(models, ensembles)
    datas = {names.of(folder): data for folder, (_, data) in found.items()}
    kept = {name: _kept(name, datas[name], models, ensembles) for name in (*models, *ensembles)}
    remarks = [Remark(f"model `{f}`", note) for f, (entry, _) in found.items() for note in entry.notes]
    remarks += _remarks(models, ensembles, kept)
    return Imported(trees.module(_decls(models, ensembles, kept)), tuple(remarks))


def _ensembles(
    found: Mapping[str, tuple[Entry, Data]], models: Mapping[str, Model], names: trees.Names
) -> dict[str, Ensemble]:
    """Ensembles in an order in which each calls only earlier ones."""
    wanted = {folder: data for folder, (_, data) in found.items() if "ensemble_scheduling" in data}
    callees: dict[str, Model | Ensemble] = {m.shown: m for m in models.values()}
    made: dict[str, Ensemble] = {}
    problems = []
    for folder in _order(wanted, found):
        ensemble = ensemble_of(wanted[folder], names.of(folder), callees)
        if isinstance(ensemble, Ensemble):
            made[ensemble.name] = callees[ensemble.shown] = ensemble
        else:
            path = found[folder][0].path or folder
            problems += [f"{path}: ensemble `{folder}`: {text}" for text in ensemble]
            callees.setdefault(folder, Ensemble(names.of(folder), 0, (), (), ()))
    if problems:
        raise ConversionError("\n".join(problems), "Triton would not load this repository either")
    return made


def _order(wanted: Mapping[str, Data], found: Mapping[str, tuple[Entry, Data]]) -> list[str]:
    calls: nx.DiGraph[str] = nx.DiGraph()
    calls.add_nodes_from(wanted)
    for folder, data in wanted.items():
        for step in data["ensemble_scheduling"].get("step", ()):
            if step.get("model_name") in wanted:
                calls.add_edge(step["model_name"], folder)
    try:
        return list(nx.lexicographical_topological_sort(calls))
    except nx.NetworkXUnfeasible:
        cycle = [start for start, _ in nx.find_cycle(calls)]
        path = found[cycle[0]][0].path or cycle[0]
        shown = " -> ".join(f"`{name}`" for name in (*reversed(cycle), cycle[-1]))
        raise ConversionError(f"{path}: ensembles call each other: {shown}") from None


def _kept(name: str, data: Data, models: Mapping[str, Model], ensembles: Mapping[str, Ensemble]) -> Data:
    """What stays Triton's: the difference to what export would write of the stage or pipeline."""
    if name in models:
        model = models[name]
        title = {"name": model.title} if model.title else {}
        return title | difference(canonical(model_data(model)), data)
    ensemble = ensembles[name]
    title = {"name": ensemble.title} if ensemble.title else {}
    ports = {t.port: t.tensor for t in (*ensemble.inputs, *ensemble.outputs) if t.port != t.tensor}
    callees: dict[str, Model | Ensemble] = {**models, **ensembles}
    written = replace(ensemble, max_rows=_limit(ensemble, callees) if ensemble.max_rows else 0)
    made = normal(canonical(ensemble_data(written, callees)))
    return title | ({"tensors": ports} if ports else {}) | difference(comparable(made), comparable(data))


def _limit(owner: Model | Ensemble, callees: Mapping[str, Model | Ensemble]) -> int:
    """Rows that every step of an ensemble takes at once: what export writes."""
    if isinstance(owner, Model):
        return owner.max_rows
    return min((_limit(callees[s.stage], callees) for s in owner.steps), default=0)


def _decls(
    models: Mapping[str, Model], ensembles: Mapping[str, Ensemble], kept: Mapping[str, Data]
) -> Iterator[syntax.Decl]:
    yield from (stage_of(model) for model in models.values())
    callees: dict[str, Callee] = {name: callee_of(model) for name, model in models.items()}
    for name, ensemble in ensembles.items():
        pipeline, callees[name] = pipeline_of(ensemble, callees)
        yield pipeline
    blocks = [profile_block(n, m.settings, kept[n], m.backend) for n, m in models.items()]
    blocks += [profile_block(n, e.settings, kept[n], None) for n, e in ensembles.items()]
    items = tuple(b for b in blocks if b is not None)
    if items:
        yield syntax.Profile(trees.ident(PROFILE), (), items, span=trees.NOWHERE)


# ---- remarks

_SAID = frozenset({"name", "tensors", "backend", "platform", "dynamic_batching"})
"""Kept fields that need no line in the list of those without effect."""


def _remarks(
    models: Mapping[str, Model], ensembles: Mapping[str, Ensemble], kept: Mapping[str, Data]
) -> Iterator[Remark]:
    owners: list[Model | Ensemble] = [*models.values(), *ensembles.values()]
    for owner in owners:
        about = f"model `{owner.shown}`"
        if owner.title:
            yield Remark(about, f"is `{owner.name}` here, because the language takes letters, digits and _ only")
        for text in _of_model(owner, kept[owner.name]) if isinstance(owner, Model) else ():
            yield Remark(about, text)
        fields = [f"`{key}`" for key, value in kept[owner.name].items() if key not in _SAID and value is not None]
        if fields:
            yield Remark(about, f"kept for Triton, without effect here: {', '.join(fields)}")


def _of_model(model: Model, kept: Data) -> Iterator[str]:
    if model.backend == "triton":
        backend = kept.get("backend") or kept.get("platform") or "unknown"
        yield f"its backend (`{backend}`) is Triton's own: the stage needs a Triton server that has the model"
    if not is_complete(model):
        yield "inputs and outputs are left to the artifact: `pipectl lock` writes them down"
    if "dynamic_batching" in kept and kept["dynamic_batching"] is None:
        yield "Triton runs its requests one by one; here they share batches"
    if len(kept.get("instance_group", ())) > 1:
        yield "several instance groups: all instances are on the first one's device here"
    if any(k.startswith("queue.") and k.endswith("max") for k in model.settings):
        yield "`max_queue_size` counts requests in Triton and rows here"
    if _reshapes(kept):
        yield "a reshaped tensor has its outer shape here, where Triton gives the model another"
    if "model_transaction_policy" in kept:
        yield "it is decoupled and takes batches: elements of a stream have no rows here, so it is taken to answer once"
    if model.packings and not model.max_rows:
        yield "`allow_ragged_batch` means nothing without `max_batch_size`"
    if "cache.size" in model.settings:
        yield "the response cache gets 64 MiB of its own; Triton has one size for all models"
    if any(not s.zeros for s in model.states):
        yield "a state without zeros as its initial value starts with zeros here"


def _reshapes(kept: Data) -> bool:
    tensors = [t for side in ("input", "output") for _, t in named(kept.get(side) or {})]
    return any("reshape" in t for t in tensors if isinstance(t, Mapping))
