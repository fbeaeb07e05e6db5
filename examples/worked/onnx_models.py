"""ONNX models written node by node. For prepare.py."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rank.features import BUCKETS, bucket, words

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
Node = onnx.NodeProto


def save(model: onnx.ModelProto, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)


def model(
    nodes: list[Node],
    inputs: dict[str, tuple[int, list]],
    outputs: dict[str, tuple[int, list]],
    **constants: np.ndarray,
) -> onnx.ModelProto:
    def ports(given: dict[str, tuple[int, list]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in given.items()]

    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made", ports(inputs), ports(outputs), held)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def network(weights: list[np.ndarray], biases: list[np.ndarray], certainty: str) -> onnx.ModelProto:
    """`image` f32[rows, 3, 224, 224] to `label` and the probability of it: mean grey of 28 x 28 pixels each, layers."""
    node = helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["small"], kernel_shape=[28, 28], strides=[28, 28]),
        node("ReduceMean", ["small", "channel"], ["grey"], keepdims=0),
        node("Reshape", ["grey", "flat"], ["x0"]),
    ]
    constants = {"channel": np.array([1]), "flat": np.array([-1, 64]), "classes": np.array([1])}
    last = len(weights) - 1
    for i, (weight, bias) in enumerate(zip(weights, biases)):
        constants |= {f"w{i}": np.asarray(weight, np.float32), f"b{i}": np.asarray(bias, np.float32)}
        nodes += [node("MatMul", [f"x{i}", f"w{i}"], [f"m{i}"]), node("Add", [f"m{i}", f"b{i}"], [f"a{i}"])]
        nodes += [node("Relu", [f"a{i}"], [f"x{i + 1}"])] if i < last else []
    nodes += [
        node("ArgMax", [f"a{last}"], ["label"], axis=1, keepdims=0),
        node("Softmax", [f"a{last}"], ["p"], axis=1),
        node("ReduceMax", ["p", "classes"], [certainty], keepdims=0),
    ]
    outputs = {"label": (INT, ["rows"]), certainty: (FLOAT, ["rows"])}
    return model(nodes, {"image": (FLOAT, ["rows", 3, 224, 224])}, outputs, **constants)


def detector() -> onnx.ModelProto:
    """`image` f32[rows, 3, 640, 640] to `likely` and `peaks` [rows, 80, 80]: how much light is gathered around each
    corner of the 8 x 8 pixels of the grid, and whether no place nearby is better."""
    node = helper.make_node
    distance = np.arange(16) - 7.5
    bell = np.exp(-(distance**2) / (2 * 2.2**2))
    kernel = (np.outer(bell, bell) / np.outer(bell, bell).sum()).astype(np.float32)[None, None]
    nodes = [
        node("ReduceMean", ["image", "channel"], ["grey"], keepdims=1),
        node("AveragePool", ["grey"], ["coarse"], kernel_shape=[8, 8], strides=[8, 8]),
        node("Conv", ["coarse", "kernel"], ["light"], pads=[8, 8, 7, 7]),
        node("Mul", ["light", "gain"], ["scaled"]),
        node("Tanh", ["scaled"], ["likely4"]),
        node("MaxPool", ["likely4"], ["best"], kernel_shape=[13, 13], pads=[6, 6, 6, 6]),
        node("Equal", ["likely4", "best"], ["peaks4"]),
        node("Squeeze", ["likely4", "channel"], ["likely"]),
        node("Squeeze", ["peaks4", "channel"], ["peaks"]),
    ]
    outputs = {"likely": (FLOAT, ["rows", 80, 80]), "peaks": (BOOL, ["rows", 80, 80])}
    constants = {"channel": np.array([1]), "kernel": kernel, "gain": np.float32(4)}
    return model(nodes, {"image": (FLOAT, ["rows", 3, 640, 640])}, outputs, **constants)


def rankers(texts: list[str]) -> dict[int, onnx.ModelProto]:
    """By version: 3 counts the words shared, 4 weighs rare words more, 5 does so with a limit."""
    seen = Counter(bucket(word) for text in texts for word in words(text))
    rare = np.array([np.log(len(texts) / (1 + seen[i])) for i in range(BUCKETS)], np.float32).clip(0.1)
    node = helper.make_node
    ports = {"x": (FLOAT, ["rows", BUCKETS])}, {"score": (FLOAT, ["rows"])}

    def linear(weights: np.ndarray, *more: Node) -> onnx.ModelProto:
        first = node("MatMul", ["x", "weights"], ["sum" if more else "score"])
        return model([first, *more], *ports, weights=weights)

    even = np.ones(BUCKETS, np.float32)
    return {3: linear(even), 4: linear(rare), 5: linear(rare, node("Tanh", ["sum"], ["score"]))}
