"""Stages on a fake CUDA, called as an executor calls them."""

from __future__ import annotations

import sys
import textwrap
from itertools import count

import numpy as np

from backends import load
from backends.base import Batch
from backends.conformance_device import OnDevice
from tests.backends.fake_ort import FakeRuntime
from tests.backends.models import doubling
from tests.backends.stages import config, stage

_numbers = count()

X, Y, OPEN = "x: f32[*, 4]", "y: f32[*, 4]", "y: f32[*, ?]"


class Caller(OnDevice):
    """Calls as an executor makes them."""

    def __init__(self, device):
        self.device = device

    def backend(self):
        raise NotImplementedError

    def __call__(self, instance, array, rows=None):
        rows = len(array) if rows is None else rows
        return self.call(instance, Batch((self.on_device(array),), rows, sizes=(rows,))).outputs[0]


on_gpu = Caller("cuda:0")


def full(rows, number):
    return np.full((rows, 4), number, np.float32)


def runtime(monkeypatch, **options):
    made = FakeRuntime(**options)
    monkeypatch.setitem(sys.modules, "onnxruntime", made)
    return made


def onnx_instance(folder, outputs=Y, device="cuda:0", model=doubling, inputs=X, **options):
    path = model(folder / "m.onnx")
    plan = stage("onnx", inputs, outputs, folder=folder, artifact=path.name)
    return load("onnx").load(plan, config(device=device, **options))


def python_instance(folder, code, name, device="cuda:0", inputs=X, outputs=Y, **arguments):
    module = f"user_stage_{next(_numbers)}"
    (folder / f"{module}.py").write_text(textwrap.dedent(code))
    plan = stage("python", inputs, outputs, folder=folder, artifact=f"{module}:{name}", **arguments)
    return load("python").load(plan, config(device=device))
