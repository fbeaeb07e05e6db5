"""Stock stages compute where their input is."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from backends.stock import post, resize, vision
from backends.stock.arrays import namespace, on_host


def test_numpys_arrays_are_numpys():
    assert namespace(np.zeros(2)) is np


def test_cupy_is_asked_only_where_something_loaded_it(monkeypatch):
    theirs = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(get_array_module=lambda _: theirs))
    assert namespace(object()) is theirs
    monkeypatch.delitem(sys.modules, "cupy")
    assert namespace(object()) is np


@pytest.mark.gpu
def test_a_device_gives_what_the_host_gives():
    cupy = pytest.importorskip("cupy", reason="the gpu extra is not installed")
    if not cupy.cuda.is_available():
        pytest.skip("there is no CUDA device")
    random = np.random.default_rng(0)
    scores = random.random((5, 7), np.float32)
    image = random.integers(0, 255, (40, 50, 3), np.uint8)
    boxes = np.array([[1, 2, 30, 33], [5, 5, 20.5, 39]], np.float32)
    for run in (
        lambda xp: post.softmax(logits=xp.asarray(scores)),
        lambda xp: post.topk(scores=xp.asarray(scores), k=3)[1].padded(0),
        lambda xp: post.l2(vec=xp.asarray(scores)),
        lambda xp: post.mean_pool(hidden=xp.asarray(scores)[..., None], mask=xp.asarray(scores) > 0.5),
        lambda xp: vision.letterbox(image=xp.asarray(image), side=32),
        lambda xp: vision.crop(image=xp.asarray(image), box=xp.asarray(boxes), side=16),
        lambda xp: vision.nms(box=xp.asarray(boxes), score=xp.asarray(scores[0, :2]), overlap=0.5, least=0)[0],
        lambda xp: resize.by_matrices(xp.asarray(image), 20, 20),
    ):
        found = run(cupy)
        assert isinstance(found, cupy.ndarray)
        np.testing.assert_allclose(on_host(found), run(np), atol=1.01 / 255)
