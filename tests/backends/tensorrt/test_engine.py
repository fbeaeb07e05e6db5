"""A whole engine of ours: requests to a stage of this backend, batched, on a device that runs late."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import backends
import executor.loading
import pipectl
from pipeline_dsl.plan import Gpu, Hardware
from tests.backends.tensorrt import fake_tensorrt as trt
from tests.backends.tensorrt.models import doubling, random

MACHINE = Hardware(2, gpus=(Gpu("late", 1 << 34),))

TEXT = """pipe 1
stage twice(x: f32[*, 4]) -> (y: f32[*, 4]) using tensorrt("m.onnx", cache = "engines", level = 2, workspace = 64MiB)
pipeline p(x: f32[B, 4]) -> (y: f32[B, 4]) { return y = twice(twice(x)) }
profile gpu { twice { device = cuda(0), batching { max = 8, delay = 1ms } } }
"""


@pytest.fixture
def app(gpu, backend, tmp_path, monkeypatch):
    gpu.driver.moves = True
    monkeypatch.setattr(executor.loading, "device", lambda name: gpu)
    monkeypatch.setitem(backends._factories, "tensorrt", lambda: backend)
    monkeypatch.setattr(backends, "_loaded", {})
    doubling(tmp_path / "m.onnx")
    (tmp_path / "p.pipe").write_text(TEXT)
    with pipectl.load(tmp_path / "p.pipe", profile="gpu", hardware=MACHINE) as loaded:
        yield loaded


def test_requests_are_answered(app, tmp_path):
    inputs = [random(rows, 4, seed=rows) for rows in (1, 2, 3, 8, 1, 2)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda x: app["p"](x=x)["y"], inputs))
    for x, y in zip(inputs, answers):
        np.testing.assert_array_equal(y, x * 4)
    assert trt.Builder.last.builder_optimization_level == 2
    assert trt.Builder.last.limits == {"WORKSPACE": 64 << 20}
    assert len(list((tmp_path / "engines").iterdir())) == 1


def test_more_rows_than_the_engine_takes_go_in_several_batches(app):
    x = random(21, 4)
    np.testing.assert_array_equal(app["p"](x=x)["y"], x * 4)


def test_a_run_that_fails_fails_its_request_only(app):
    trt.refuse("execute_async_v3")
    with pytest.raises(Exception, match="stage `twice`: the run was not started"):
        app["p"](x=random(2, 4))
    trt.reset()
    x = random(2, 4)
    np.testing.assert_array_equal(app["p"](x=x)["y"], x * 4)
