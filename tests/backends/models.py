"""Tiny models made on the spot: ONNX graphs and torch files."""

import onnx
from onnx import TensorProto, helper

KINDS = {
    "f32": TensorProto.FLOAT,
    "f16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "i64": TensorProto.INT64,
    "i32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, KINDS[kind], shape)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def onnx_model(path, nodes, inputs, outputs, initializers=(), opset=17):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def doubling(path, rows="N", kind="f32", width=4):
    return onnx_model(
        path, [node("Add", "x x", "y")], [value("x", kind, [rows, width])], [value("y", kind, [rows, width])]
    )
