"""One spelling for configurations that Triton treats alike.

`normal`: defaults that are written out go, a platform that says the same as the backend goes. `comparable` besides:
steps stand in an order in which they can run, tensors between them are named after what makes them, and those that
nobody reads are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import networkx as nx

from .model import BACKENDS, FILES
from .overlay import Data

PLATFORMS = {
    "onnxruntime_onnx": "onnxruntime",
    "tensorrt_plan": "tensorrt",
    "pytorch_libtorch": "pytorch",
}
IDLE = 1_000_000
"""Microseconds after which a sequence ends by itself, where nothing is said."""


def normal(data: Mapping[str, Any], folder: str = "") -> Data:
    """The same configuration without what says nothing. `folder`: where it was found, which names the model."""
    made: Data = {"name": folder, **data} if folder else dict(data)
    _backend(made)
    _versions(made)
    _counts(made)
    _sequence(made)
    if "ensemble_scheduling" in made:
        made["platform"] = "ensemble"
    return made


def comparable(data: Mapping[str, Any]) -> Data:
    """A normal configuration in which steps and what is between them have one order and name."""
    if "ensemble_scheduling" not in data:
        return dict(data)
    scheduling = data["ensemble_scheduling"]
    own = {*_names(data.get("input", ())), *_names(data.get("output", ()))}
    return {**data, "ensemble_scheduling": {**scheduling, "step": _steps(scheduling.get("step", []), own)}}


def _names(tensors: Any) -> Iterable[str]:
    return tensors if isinstance(tensors, Mapping) else (t.get("name", "") for t in tensors)


def _backend(data: Data) -> None:
    platform = data.get("platform", "")
    if platform in PLATFORMS and data.get("backend", PLATFORMS[platform]) == PLATFORMS[platform]:
        data["backend"] = PLATFORMS[platform]
        del data["platform"]
    ours = {theirs: name for name, theirs in BACKENDS.items()}.get(data.get("backend", ""), "")
    if data.get("default_model_filename") == FILES.get(ours):
        data.pop("default_model_filename", None)


def _versions(data: Data) -> None:
    if data.get("version_policy", {}).get("latest", {}).get("num_versions") in (0, 1):
        del data["version_policy"]


def _counts(data: Data) -> None:
    if "instance_group" in data:
        data["instance_group"] = [{"count": 1, **group} for group in data["instance_group"]]
    if "model_warmup" in data:
        once = [{k: v for k, v in one.items() if (k, v) != ("count", 1)} for one in data["model_warmup"]]
        data["model_warmup"] = once


def _sequence(data: Data) -> None:
    if "sequence_batching" not in data:
        return
    batching = dict(data["sequence_batching"])
    if batching.get("max_sequence_idle_microseconds") == IDLE:
        del batching["max_sequence_idle_microseconds"]
    if "oldest" not in batching:
        batching.setdefault("direct", {})
    data["sequence_batching"] = batching


def _steps(steps: list[Data], own: set[str]) -> list[Data]:
    """Steps with one spelling of the latest version, in an order of their own, inner tensors renamed."""
    plain = [{**s, "model_version": v if (v := s.get("model_version", -1)) > 0 else -1} for s in steps]
    ordered = ordered_steps(plain)
    names: dict[str, str] = {}
    read = {*own, *(t for s in ordered for t in s.get("input_map", {}).values())}
    for number, step in enumerate(ordered):
        for port, tensor in sorted(step.get("output_map", {}).items()):
            names[tensor] = tensor if tensor in own else f"{number}.{port}"
    return [
        {
            **step,
            "input_map": {p: names.get(t, t) for p, t in sorted(step.get("input_map", {}).items())},
            "output_map": {p: names.get(t, t) for p, t in sorted(step.get("output_map", {}).items()) if t in read},
        }
        for step in ordered
    ]


def ordered_steps(steps: list[Data]) -> list[Data]:
    """Steps behind those they read from; among those that could run, the first as written. Cycles stay as they are."""
    maker = {t: n for n, step in enumerate(steps) for t in step.get("output_map", {}).values()}
    reads: nx.DiGraph[int] = nx.DiGraph()
    reads.add_nodes_from(range(len(steps)))
    for number, step in enumerate(steps):
        reads.add_edges_from((maker[t], number) for t in step.get("input_map", {}).values() if t in maker)
    try:
        return [steps[number] for number in nx.lexicographical_topological_sort(reads)]
    except nx.NetworkXUnfeasible:
        return steps
