"""A work as a repository of Triton's: each step a python model, and an ensemble of them with the work's name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from .works import FOLDER, Step, Work

MODEL = '''
import importlib
import inspect
import json
import sys

import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    """Calls one function with what waits, as its parameters say."""

    def initialize(self, args):
        given = {k: json.loads(v["string_value"]) for k, v in json.loads(args["model_config"])["parameters"].items()}
        sys.path.append(given["folder"])
        module, _, name = given["function"].partition(":")
        found = getattr(importlib.import_module(module), name)
        self.function = found(**given["options"]) if inspect.isclass(found) else found
        self.takes, self.gives, self.rows = given["takes"], given["gives"], given["rows"]

    def execute(self, requests):
        given = [[self.array(request, name) for name in self.takes] for request in requests]
        if not self.rows:
            return [self.response(self.called(one)) for one in given]
        ends = np.cumsum([len(one[0]) for one in given])
        joined = [np.concatenate(column) if len(column) > 1 else column[0] for column in zip(*given)]
        made = self.called(joined)
        return [
            self.response([np.stack(v[a:b]) if isinstance(v, list) else v[a:b] for v in made])
            for a, b in zip([0, *ends], ends)
        ]

    def array(self, request, name):
        found = pb.get_input_tensor_by_name(request, name).as_numpy()
        if found.dtype != object:
            return found
        return np.array([text.decode() for text in found.ravel()], object)

    def called(self, arrays):
        made = self.function(**dict(zip(self.takes, arrays)))
        return made if len(self.gives) > 1 else (made,)

    def response(self, arrays):
        return pb.InferenceResponse([pb.Tensor(name, a) for name, a in zip(self.gives, arrays)])
'''


def repository(folder: Path, work: Work) -> None:
    """Write the models and the ensemble."""
    for step in work.steps:
        model = folder / f"{work.name}_{step.name}"
        (model / "1").mkdir(parents=True)
        (model / "1" / "model.py").write_text(MODEL)
        (model / "config.pbtxt").write_text(model_config(work, step))
    (folder / work.name / "1").mkdir(parents=True)
    (folder / work.name / "config.pbtxt").write_text(ensemble_config(work))


def model_config(work: Work, step: Step) -> str:
    """One step: its tensors are named by the function's parameters, and by the values that it gives."""
    lines = ['backend: "python"', f"max_batch_size: {work.rows}"]
    lines += _tensors("input", work, step.takes.items())
    lines += _tensors("output", work, ((name, name) for name in step.gives))
    lines.append(f"instance_group [ {{ count: {step.instances} kind: KIND_CPU }} ]")
    if work.rows:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {work.delay_us} }}")
    given = {
        "folder": str(FOLDER),
        "function": step.function,
        "options": step.options,
        "takes": list(step.takes),
        "gives": step.gives,
        "rows": work.rows,
    }
    for key, value in given.items():
        text = json.dumps(json.dumps(value))  # JSON inside of a quoted string
        lines.append(f'parameters {{ key: "{key}" value {{ string_value: {text} }} }}')
    return "\n".join(lines) + "\n"


def ensemble_config(work: Work) -> str:
    steps = ",\n".join(
        f'{{ model_name: "{work.name}_{step.name}" model_version: -1 '
        + " ".join(f'input_map {{ key: "{port}" value: "{value}" }}' for port, value in step.takes.items())
        + " "
        + " ".join(f'output_map {{ key: "{name}" value: "{name}" }}' for name in step.gives)
        + " }"
        for step in work.steps
    )
    lines = ['platform: "ensemble"', f"max_batch_size: {work.rows}"]
    lines += _tensors("input", work, [(work.input, work.input)])
    lines += _tensors("output", work, [(work.output, work.output)])
    return "\n".join([*lines, f"ensemble_scheduling {{ step [ {steps} ] }}"]) + "\n"


def _tensors(kind: str, work: Work, ports: Iterable[tuple[str, str]]) -> list[str]:
    found = []
    for port, name in ports:
        value = work.values[name]
        datatype = "STRING" if value.datatype == "BYTES" else value.datatype
        dims = ", ".join(map(str, value.dims or (1,)))
        found.append(f'{kind} [ {{ name: "{port}" data_type: TYPE_{datatype} dims: [ {dims} ] }} ]')
    return found
