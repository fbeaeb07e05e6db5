"""Backend `tensorrt`: engines of TensorRT on a CUDA device.

    tensorrt("model.onnx")     built here, for the shapes that the stage's ports and settings allow, and kept on disk
    tensorrt("model.plan")     built elsewhere, for this device and this version of the library

What is asked of the executor: inputs are `DeviceArray`s that are ready on the batch's stream. Outputs are new arrays,
ready on that stream. An instance has one execution context; instances of one file share the engine and its weights.
Nothing here waits for the device but what the library itself waits for (outputs whose size depends on the data) and
values that Python or the library want on the host. See `docs/tensorrt.md`."""

from __future__ import annotations

from .backend import TensorrtBackend

__all__ = ["TensorrtBackend"]
