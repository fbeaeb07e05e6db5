"""Tiny models made on the spot: ONNX graphs and torch files. A test that makes one is skipped where onnx is missing."""

import pytest

KINDS = {
    "f32": "FLOAT",
    "f16": "FLOAT16",
    "bf16": "BFLOAT16",
    "i64": "INT64",
    "i32": "INT32",
    "bool": "BOOL",
    "string": "STRING",
}


def _onnx():
    return pytest.importorskip("onnx", reason="the models of these tests are written with onnx, which is not installed")


def value(name, kind, shape):
    onnx = _onnx()
    return onnx.helper.make_tensor_value_info(name, getattr(onnx.TensorProto, KINDS[kind]), shape)


def node(op, inputs, outputs, **attributes):
    return _onnx().helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def onnx_model(path, nodes, inputs, outputs, initializers=(), opset=17):
    onnx = _onnx()
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def doubling(path, rows="N", kind="f32", width=4):
    return onnx_model(
        path, [node("Add", "x x", "y")], [value("x", kind, [rows, width])], [value("y", kind, [rows, width])]
    )
