"""Stages, models and batches for the tests of this backend."""

from dataclasses import replace

import numpy as np
import onnx
from onnx import TensorProto, helper

from backends.base import Batch, InstanceConfig
from pipeline_dsl.plan import BatchPolicy
from tests.backends.models import doubling, node, onnx_model, value
from tests.backends.stages import stage
from tests.backends.tensorrt import fake_tensorrt as trt

X, Y = "x: f32[*, 4]", "y: f32[*, 4]"
CUDA = InstanceConfig(device="cuda:0")


def planned(path, inputs=X, outputs=Y, most=8, preferred=(), **options):
    """A stage of a file, `batching.max` being `most`."""
    made = stage("tensorrt", inputs, outputs, folder=path.parent, artifact=path.name, **options)
    return replace(made, batching=BatchPolicy(max_rows=most, preferred=preferred), device="cuda:0")


def plan_file(path, model, *profiles, **more):
    """A plan beside its ONNX file. A profile: {"x": ((1, 4), (4, 4), (8, 4))}."""
    found = path.with_suffix(".plan")
    found.write_bytes(trt.plan_of(onnx.load(str(model)), profiles, **more))
    return found


def nonzero(path):
    """x: f32[rows, 4] -> where: i64[2, how many]."""
    return onnx_model(path, [node("NonZero", "x", "y")], [value("x", "f32", ["N", 4])], [value("y", "i64", [2, "M"])])


def reshaping(path):
    """x: f32[rows, 4], size: i64[2] -> y: f32[?, ?]."""
    return onnx_model(
        path,
        [node("Reshape", "x size", "y")],
        [value("x", "f32", ["N", 4]), value("size", "i64", [2])],
        [value("y", "f32", ["A", "B"])],
    )


def padded_sum(path):
    """x: f32[rows, length] -> y: f32[rows]."""
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    return onnx_model(
        path,
        [node("ReduceSum", "x axes", "y", keepdims=0)],
        [value("x", "f32", ["N", "L"])],
        [value("y", "f32", ["N"])],
        [axes],
    )


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def given(gpu, stream, *arrays, rows=None):
    """A batch of arrays that were uploaded on `stream`."""
    values = tuple(gpu.upload(a, stream) if isinstance(a, np.ndarray) else a for a in arrays)
    return Batch(values, len(arrays[0]) if rows is None else rows, stream=stream)


def read(gpu, array):
    """A device array's values."""
    landing = gpu.download(array)
    landing.event.synchronize()
    return landing.array


__all__ = [
    "CUDA",
    "X",
    "Y",
    "doubling",
    "given",
    "nonzero",
    "padded_sum",
    "plan_file",
    "planned",
    "random",
    "read",
    "reshaping",
]
