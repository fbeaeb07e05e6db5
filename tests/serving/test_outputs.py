"""Outputs of a pipeline for the wire: what is absent, and what is null."""

from __future__ import annotations

import pytest

from pipeline_dsl.ir import Constant
from pipeline_dsl.plan import OutputPlan
from serving.convert.outputs import OutputPort
from tests.pipeline_dsl.graphs import type_of


def port(kind: str) -> OutputPort:
    return OutputPort(OutputPlan("out", type_of(kind), Constant(None, type_of(kind)), "", ""))


@pytest.mark.parametrize("kind", ["f32?", "string?", "f32[N]?", "i64[*, ~L]?", "json?", "json[N]?"])
def test_what_is_absent_is_left_out(kind: str) -> None:
    assert port(kind).tensors(None) == ()


def test_null_is_a_value_of_json() -> None:
    (tensor,) = port("json").tensors(None)
    assert (tensor.datatype, tensor.shape, tensor.data) == ("BYTES", (1,), [b"null"])
