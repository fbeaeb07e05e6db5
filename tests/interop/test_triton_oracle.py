"""A real Triton server loads what was exported and answers what this executor answers. Needs `scripts/peers.sh`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipectl
from pipectl.__main__ import run

from .triton_server import SERVE, Server, serving

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not SERVE.exists(), reason="scripts/peers.sh has not been run: there is no Triton server"),
]
ORACLE = Path(__file__).parent / "oracle"
RNG = np.random.default_rng(4)


def f32(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("diamond", {"x": f32(1, 3)}),
    ("diamond", {"x": f32(7, 3)}),
    ("chatter", {"text": "how are ü"}),
    ("told", {"blob": b"\x07\x00raw", "facts": {"b": [1, None], "a": "ö"}}),
    ("tiles", {"x": f32(5, 3)}),
    ("whole", {"m": RNG.standard_normal((4, 2))}),
    ("moved", {"x": np.arange(4, dtype=np.float32)}),
    ("moved", {"x": np.arange(4, dtype=np.float32), "by": np.ones(4, np.float32)}),
    (
        "mixed",
        {
            "flag": np.array([[True, False]] * 3),
            "small": np.array([[-128, 127]] * 3, np.int8),
            "half": np.full((3, 2), 0.5, np.float16),
        },
    ),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("oracle") / "repository"
    assert run(["export", "triton", str(ORACLE / "cases.pipe"), str(folder)]) == 0
    with serving(folder) as one:
        yield one


@pytest.fixture(scope="module")
def app() -> Iterator[pipectl.App]:
    with pipectl.load(ORACLE / "cases.pipe") as one:
        yield one


@pytest.mark.parametrize(("name", "inputs"), REQUESTS, ids=[f"{n}_{i}" for i, (n, _) in enumerate(REQUESTS)])
def test_the_ensemble_answers_what_the_pipeline_answers(
    name: str, inputs: dict[str, Any], server: Server, app: pipectl.App
) -> None:
    pipeline = app[name]
    ours = pipeline(inputs)
    theirs = server.infer(name, {port: on_the_wire(v, pipeline.inputs[port].type) for port, v in inputs.items()})
    assert set(theirs) == set(pipeline.outputs)
    for port, spec in pipeline.outputs.items():
        expected = on_the_wire(ours[port], spec.type)
        assert theirs[port].shape == expected.shape, port
        if spec.type.dtype.name == "json":
            assert json.loads(theirs[port].item()) == ours[port]
        else:
            np.testing.assert_array_equal(theirs[port], expected)


def test_requests_that_wait_together_get_their_own_answers(server: Server) -> None:
    """Rows of several requests in one call of the model."""
    from concurrent.futures import ThreadPoolExecutor

    given = [f32(n % 3 + 1, 3) for n in range(24)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda x: server.infer("scale", {"x": x})["y"], given))
    for x, y in zip(given, answers, strict=True):
        np.testing.assert_allclose(y, x * np.float32(2.5), rtol=1e-6)


def test_a_failure_of_a_stage_is_an_error_of_its_request(server: Server) -> None:
    with pytest.raises(RuntimeError, match="x is negative"):
        server.infer("moved", {"x": np.array([-1.0], np.float32)})


def test_triton_reads_the_schedule(server: Server) -> None:
    total = server.config("total")
    assert total["max_batch_size"] == 8
    assert total["instance_group"][0]["count"] == 2
    assert server.config("scale")["dynamic_batching"]["max_queue_delay_microseconds"] == 1000
    assert server.config("diamond")["max_batch_size"] == 8


def test_a_native_repository_serves_the_same_after_import_and_export(tmp_path: Path) -> None:
    """Everything a Triton user wrote, through a `.pipe` file and back, loaded by Triton both times."""
    before, after = tmp_path / "before", tmp_path / "after"
    for name in ("double-it", "add", "both-ways"):
        (before / name / "1").mkdir(parents=True)
        (before / name / "config.pbtxt").write_text(NATIVE[name])
    assert run(["import", "triton", str(before), "-o", str(tmp_path / "native.pipe")]) == 0
    options = ["--artifacts", "none"]
    assert run(["export", "triton", str(tmp_path / "native.pipe"), str(after), *options]) == 0
    x = f32(3, 2)
    answers = []
    for folder in (before, after):
        for name in ("double-it", "add"):
            shutil.copy(ORACLE / "native_model.py", folder / name / "1" / "model.py")
        with serving(folder) as one:
            answers.append(one.infer("both-ways", {"x-in": x}))
    assert set(answers[0]) == set(answers[1]) == {"sum-out", "twice"}
    for name in answers[0]:
        np.testing.assert_array_equal(answers[0][name], answers[1][name])
    np.testing.assert_allclose(answers[1]["sum-out"], x * 3, rtol=1e-6)


NATIVE = {
    "double-it": """
        backend: "python" max_batch_size: 4
        input [ { name: "a:0" data_type: TYPE_FP32 dims: [ 2 ] } ]
        output [ { name: "b" data_type: TYPE_FP32 dims: [ 2 ] } ]
        parameters { key: "factor" value { string_value: "2" } }
        dynamic_batching { max_queue_delay_microseconds: 100 }
    """,
    "add": """
        backend: "python" max_batch_size: 8
        input [ { name: "l" data_type: TYPE_FP32 dims: [ 2 ] }, { name: "r" data_type: TYPE_FP32 dims: [ -1 ] } ]
        output [ { name: "s" data_type: TYPE_FP32 dims: [ 2 ] } ]
        parameters { key: "factor" value { string_value: "1" } }
        instance_group [ { count: 2 kind: KIND_CPU } ]
    """,
    "both-ways": """
        platform: "ensemble" max_batch_size: 4
        input [ { name: "x-in" data_type: TYPE_FP32 dims: [ 2 ] } ]
        output [
          { name: "sum-out" data_type: TYPE_FP32 dims: [ 2 ] },
          { name: "twice" data_type: TYPE_FP32 dims: [ 2 ] }
        ]
        ensemble_scheduling {
          step [
            {
              model_name: "add" model_version: -1
              input_map { key: "l" value: "x-in" } input_map { key: "r" value: "twice" }
              output_map { key: "s" value: "sum-out" }
            },
            {
              model_name: "double-it" model_version: 1
              input_map { key: "a:0" value: "x-in" } output_map { key: "b" value: "twice" }
            }
          ]
        }
    """,
}


def on_the_wire(value: Any, kind: Any) -> Any:
    """A value with the shape that Triton gives it: what has no dims behind its rows is `[1]` there."""
    name = kind.dtype.name
    if name in ("string", "bytes", "json"):
        items = [_encoded(v, name) for v in (np.ravel(value) if kind.dims else [value])]
        array = np.empty(len(items), dtype=object)
        array[:] = items
    else:
        array = np.asarray(value, kind.dtype.numpy)
    alone = len(kind.dims) == (1 if kind.has_rows else 0)
    return array.reshape((len(array), 1) if kind.has_rows else (1,)) if alone else array


def _encoded(item: Any, name: str) -> bytes:
    if name == "bytes":
        return bytes(item)
    return json.dumps(item).encode() if name == "json" else str(item).encode()
