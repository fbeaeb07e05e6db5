"""A stage of pipectl as a model of Triton's python backend: `pipectl export triton` copies this file to `model.py`.

Beside it lie `stage.pipe`, a pipeline around the one stage, and the code it needs. The Python that runs this needs
pipectl. Requests that Triton hands over together wait for one another here, and share batches as they would there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # provided by Triton's python backend

import pipectl

TEXTS = ("string", "bytes", "json")


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the stage from the folder of this version."""
        folder = Path(__file__).resolve().parent
        sys.path.insert(0, str(folder))
        self.app = pipectl.load(folder / "stage.pipe")
        self.stage = self.app[self.app.pipelines[0]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """One answer or error for each request."""
        jobs = [self._submitted(request) for request in requests]
        return [self._answered(job) for job in jobs]

    def finalize(self) -> None:
        """Let go of the stage."""
        self.app.drain(5)
        self.app.stop()

    def _submitted(self, request: Any) -> Any:
        """A job, or the exception that kept it from becoming one."""
        try:
            inputs = {}
            for name, spec in self.stage.inputs.items():
                tensor = pb_utils.get_input_tensor_by_name(request, name)
                if tensor is not None:
                    inputs[name] = value_of(tensor.as_numpy(), spec.type)
            return self.stage.submit(inputs)
        except Exception as error:
            return error

    def _answered(self, job: Any) -> Any:
        try:
            if isinstance(job, Exception):
                raise job
            answer = job.result()
            outputs = [
                pb_utils.Tensor(name, array_of(answer[name], spec.type)) for name, spec in self.stage.outputs.items()
            ]
            return pb_utils.InferenceResponse(outputs)
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))


def value_of(array: Any, kind: Any) -> Any:
    """A tensor of Triton as a port wants it: text decoded, one value where there are no dims."""
    name = kind.dtype.name
    if name in TEXTS:
        decoded = [decoded_text(item, name) for item in array.ravel()]
        array = np.empty(array.shape, dtype=object)
        array.ravel()[:] = decoded
    if kind.dims:
        return array
    return array.ravel()[0] if name in TEXTS else array.ravel()[0].item()


def array_of(value: Any, kind: Any) -> Any:
    """A value as a tensor of Triton: text as bytes, one value as an array of one."""
    name = kind.dtype.name
    if name not in TEXTS:
        return np.asarray(value, dtype=kind.dtype.numpy).reshape(None if kind.dims else (1,))
    items = np.asarray(value, dtype=object)
    made = np.empty(items.shape or (1,), dtype=object)
    made.ravel()[:] = [encoded_text(item, name) for item in items.ravel()]
    return made


def decoded_text(item: Any, name: str) -> Any:
    """Bytes of the wire as `string`, `bytes` or decoded JSON."""
    if name == "bytes":
        return item
    text = item.decode("utf-8") if isinstance(item, bytes) else str(item)
    return json.loads(text) if name == "json" else text


def encoded_text(item: Any, name: str) -> bytes:
    """The bytes of one item."""
    if name == "bytes":
        return bytes(item)
    text = json.dumps(item, ensure_ascii=False) if name == "json" else str(item)
    return text.encode("utf-8")
