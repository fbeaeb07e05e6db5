"""A StagePlan survives the way to another process unchanged."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import BackendError
from backends.ipc.plan_codec import decode_plan, decode_signature, encode_plan, encode_signature
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import Bound, Contract, RaggedRule, TensorName
from pipeline_dsl.plan import (
    AUTO,
    BatchPolicy,
    InputPlan,
    LevelPolicy,
    OutputPlan,
    PipelinePlan,
    PortPlan,
    QueuePolicy,
    Slot,
    StagePlan,
    Warmup,
)
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Ragged, Rest, Rows, Sized, TensorType, Unknown

names = st.text("abcxyz_", min_size=1, max_size=4)
atoms = st.one_of(
    st.integers(0, 9).map(Size.of), names.map(Size.of), st.builds(lambda n, o: Size.of(Symbol(n, o)), names, names)
)
sizes = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, b: a // (b + Size.of("q")), inner, inner),
    ),
    max_leaves=4,
)
dims = st.one_of(
    st.just(Rows()), st.just(Unknown()), st.just(Rest()), st.builds(Sized, sizes), st.builds(Ragged, sizes)
)
tensors = st.builds(
    TensorType,
    st.sampled_from(list(DTYPES.values())),
    st.lists(dims, max_size=4).map(tuple),
    st.booleans(),
    st.booleans(),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(2**64, 2**80),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(max_size=8),
    sizes,
    tensors,
    st.sampled_from(list(DTYPES.values())),
)
data = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=6,
)
ports = st.builds(
    PortPlan,
    names,
    tensors,
    st.sampled_from(["scalar", "dense", "object", "padded", "packed", "ragged"]),
    st.booleans(),
    data,
    st.integers(-3, 3),
    st.lists(st.integers(1, 512), max_size=3).map(tuple),
    st.sampled_from(["", "mask", "lengths", "offsets"]),
    names,
)
mappings = st.dictionaries(names, data, max_size=3)
rules = st.builds(
    RaggedRule,
    names,
    st.sampled_from(["pad", "pack", "reject"]),
    st.one_of(st.integers(), st.floats(allow_nan=False), st.text()),
    st.lists(st.integers(), max_size=3).map(tuple),
    mask=names,
)
tensor_names = st.dictionaries(names, st.builds(TensorName, names, st.lists(st.integers(0, 3)).map(tuple)), max_size=2)
contracts = st.builds(
    Contract,
    st.sampled_from(["none", "repeatable", "once"]),
    tensor_names,
    tensor_names,
    st.lists(rules, max_size=2).map(tuple),
    st.dictionaries(names, names, max_size=2),
    st.lists(st.integers(1, 9), max_size=2).map(tuple),
    st.one_of(st.none(), st.integers(1, 8)),
    mappings,
)
queues = st.builds(
    QueuePolicy,
    st.lists(st.builds(LevelPolicy, st.integers(0, 99), st.integers(0, 10**12)), max_size=3).map(tuple),
)
warmups = st.builds(Warmup, st.just((1, 8)), st.dictionaries(names, st.just((1, 2)), max_size=2))
plans = st.builds(
    StagePlan,
    st.integers(0, 99),
    names,
    st.one_of(st.none(), st.integers(1, 9)),
    names,
    mappings,
    contracts,
    st.text(),
    st.lists(ports, max_size=3).map(tuple),
    st.lists(ports, max_size=3).map(tuple),
    st.lists(st.builds(Bound, sizes, st.sampled_from(["<=", "=="]), sizes), max_size=2).map(tuple),
    st.booleans(),
    batching=st.builds(BatchPolicy, st.integers(0, 64), st.sampled_from([0, AUTO])),
    queue=queues,
    warmup=st.one_of(st.none(), warmups),
    extra=mappings,
)


@given(plans)
@settings(deadline=None)
def test_a_plan_comes_back_equal(stage):
    back = decode_plan(encode_plan(stage))
    assert back == stage
    assert repr(back) == repr(stage)  # equal values may differ in type: 1 and True, 1 and 1.0


def test_sizes_still_work_after_the_way():
    size = (Size.of("W") + Size.of(1)) // Size.of("S")
    port = PortPlan("x", TensorType(DTYPES["f32"], (Rows(), Sized(size))), "dense")
    back = decode_plan(encode_plan(_stage(inputs=(port,)))).inputs[0]
    assert back.type.dtype is DTYPES["f32"]
    assert back.type.dims[1].size.evaluate({"W": 9, "S": 5}) == 2


def test_not_a_number_comes_back():
    assert math.isnan(decode_plan(encode_plan(_stage(arguments={"x": math.nan}))).arguments["x"])


def test_what_can_not_cross_is_named():
    with pytest.raises(BackendError, match=r"stage `s`: arguments.fn\[1\] holds a function, which") as caught:
        encode_plan(_stage(arguments={"fn": [1, lambda: None]}))
    assert "lists" in caught.value.hint


def test_bytes_name_no_class_outside_the_table():
    import msgspec

    with pytest.raises(KeyError):
        decode_plan(msgspec.msgpack.encode(["object", "Popen", "true"]))
    with pytest.raises(ValueError, match="expected a StagePlan"):
        decode_plan(msgspec.msgpack.encode(["list", 1]))


def _stage(**fields):
    given = {"arguments": {}, "inputs": ()} | fields
    return StagePlan(0, "s", None, "python", given["arguments"], Contract(), "", given["inputs"], (), (), True)


def test_a_signature_keeps_what_a_pipeline_takes_and_gives():
    text = TensorType(DTYPES["string"], (Rows(),))
    taken = InputPlan("text", text, 0, has_default=True, default=["é", None, 2**70], doc="What to read.")
    given = OutputPlan("words", TensorType(DTYPES["f32"], (), stream=True), Slot(7), "labels.txt", "Each.")
    came = decode_signature(encode_signature(PipelinePlan("p", (taken,), (given,), (), 9, doc="Reads.")))
    assert (came.name, came.doc, came.inputs, came.steps) == ("p", "Reads.", (taken,), ())
    assert came.outputs == (OutputPlan("words", given.type, Slot(0), "labels.txt", "Each."),)
    with pytest.raises(BackendError, match="pipeline `p`"):
        encode_signature(PipelinePlan("p", (InputPlan("x", text, 0, True, object()),), (), (), 1))
