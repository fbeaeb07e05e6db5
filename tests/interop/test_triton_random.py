"""Random configurations come back as they were: what the language has no words for is kept, whatever it is."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipectl.interop.triton.importing import Entry
from pipectl.interop.triton.overlay import canonical
from pipectl.interop.triton.reading import Place

from .triton_repository import there_and_back

TYPES = [f"TYPE_{t}" for t in ("BOOL", "UINT8", "INT8", "INT32", "INT64", "FP16", "FP32", "FP64", "STRING", "BF16")]
NAMES = st.text("ab.:-_1", min_size=1, max_size=4)
COUNTS = st.integers(0, 2**31 - 1)
TEXTS = st.text(max_size=6) | st.sampled_from(["${x}", "$${", "100%", '"', "a\nb\n", "{x}"])
RATIOS = st.floats(0, 1, width=32)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A message with any of some fields."""
    return st.fixed_dictionaries({}, optional=fields)


DIMS = st.lists(st.integers(1, 9) | st.just(-1), min_size=1, max_size=3)
INPUT = some(
    format=st.sampled_from(["FORMAT_NHWC", "FORMAT_NCHW"]),
    optional=st.booleans(),
    allow_ragged_batch=st.booleans(),
    is_shape_tensor=st.booleans(),
    reshape=some(shape=st.lists(st.integers(1, 9), max_size=2)),
)
OUTPUT = some(label_filename=st.just("labels.txt"), reshape=some(shape=st.lists(st.integers(1, 9), max_size=2)))


@st.composite
def tensors(draw: st.DrawFn, more: st.SearchStrategy[dict[str, Any]]) -> list[dict[str, Any]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return [{"name": n, "data_type": draw(st.sampled_from(TYPES)), "dims": draw(DIMS), **draw(more)} for n in names]


POLICY = some(
    timeout_action=st.sampled_from(["REJECT", "DELAY"]),
    default_timeout_microseconds=COUNTS,
    allow_timeout_override=st.booleans(),
    max_queue_size=COUNTS,
)
LEVELS = st.integers(1, 3)


@st.composite
def batchings(draw: st.DrawFn, most: int) -> dict[str, Any]:
    levels = draw(LEVELS)
    priorities = {
        "priority_levels": levels,
        "default_priority_level": draw(st.integers(1, levels)),
        "priority_queue_policy": draw(st.dictionaries(st.integers(1, levels).map(str), POLICY)),
    }
    fields = draw(
        some(
            preferred_batch_size=st.lists(st.integers(1, max(most, 1)), max_size=3),
            max_queue_delay_microseconds=COUNTS,
            preserve_ordering=st.booleans(),
            default_queue_policy=POLICY,
        )
    )
    return fields | draw(st.sampled_from([{}, priorities]))


GROUP = some(
    name=TEXTS,
    count=st.integers(1, 4),
    kind=st.sampled_from(["KIND_GPU", "KIND_CPU", "KIND_MODEL"]),
    gpus=st.lists(st.integers(0, 3), max_size=2),
    profile=st.lists(TEXTS, max_size=2),
    passive=st.booleans(),
    host_policy=TEXTS,
    rate_limiter=some(
        resources=st.lists(some(name=NAMES, count=st.integers(1, 9), **{"global": st.booleans()}), max_size=2),
        priority=st.integers(1, 5),
    ),
)
OPTIMIZATION = some(
    graph=some(level=st.integers(-1, 2)),
    priority=st.sampled_from(["PRIORITY_MAX", "PRIORITY_MIN"]),
    cuda=some(graphs=st.booleans(), graph_spec=st.lists(some(batch_size=st.integers(1, 8)), max_size=2)),
    execution_accelerators=some(
        gpu_execution_accelerator=st.lists(
            some(name=st.just("tensorrt"), parameters=some(precision_mode=st.sampled_from(["FP16", "INT8", "x"]))),
            max_size=2,
        )
    ),
    eager_batching=st.booleans(),
)
CONTROLS = st.lists(
    some(
        name=NAMES,
        control=st.lists(
            some(
                kind=st.sampled_from([f"CONTROL_SEQUENCE_{k}" for k in ("START", "READY", "END", "CORRID")]),
                int32_false_true=st.just([0, 1]),
                fp32_false_true=st.lists(RATIOS, max_size=2),
                data_type=st.sampled_from(TYPES),
            ),
            max_size=2,
        ),
    ),
    max_size=3,
)
SLOTS = st.sampled_from(
    [
        {},
        {"direct": {"minimum_slot_utilization": 0.5}},
        {"oldest": {"max_candidate_sequences": 4, "preferred_batch_size": [2], "max_queue_delay_microseconds": 7}},
    ]
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    most = draw(st.integers(0, 16))
    data: dict[str, Any] = {
        "max_batch_size": most,
        "input": draw(tensors(INPUT)),
        "output": draw(tensors(OUTPUT)),
        "backend": draw(st.sampled_from(["onnxruntime", "tensorrt", "pytorch", "python", "dali"])),
    }
    data |= draw(
        some(
            default_model_filename=st.sampled_from(["model.onnx", "other.bin"]),
            instance_group=st.lists(GROUP, max_size=2),
            optimization=OPTIMIZATION,
            parameters=st.dictionaries(
                NAMES | st.just("intra_op_thread_count"), some(string_value=TEXTS | st.just("2"))
            ),
            metric_tags=st.dictionaries(TEXTS, TEXTS, max_size=2),
            response_cache=some(enable=st.booleans()),
            model_transaction_policy=some(decoupled=st.booleans()),
            version_policy=st.sampled_from(
                [{"all": {}}, {"latest": {"num_versions": 2}}, {"specific": {"versions": [4]}}]
            ),
        )
    )
    scheduling = draw(st.sampled_from(["none", "dynamic", "sequence"]))
    if scheduling == "dynamic":
        data["dynamic_batching"] = draw(batchings(most))
    elif scheduling == "sequence":
        idle = draw(some(max_sequence_idle_microseconds=COUNTS, control_input=CONTROLS))
        data["sequence_batching"] = idle | draw(SLOTS)
    return data


@settings(max_examples=200, deadline=None)
@given(configs())
def test_any_configuration_comes_back(config: dict[str, Any]) -> None:
    data = canonical({"name": "m", **config})
    before, after = there_and_back([Entry("m", data, Place("m", (1, 4)))])
    assert after == before
