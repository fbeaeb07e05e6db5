"""What is set for the process while stages run, and set back."""

import gc
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from pipectl.tuning import SWITCH_SECONDS, blas_threads, tuned


def plan(*stages: tuple[str, bool, int]):
    return SimpleNamespace(stages=[SimpleNamespace(backend=b, isolate=i, threads=t) for b, i, t in stages])


def blas() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.mark.parametrize(
    ("stages", "threads"),
    [
        ([], None),
        ([("onnx", False, 1), ("python", True, 1)], None),
        ([("python", False, 4), ("python", False, 2), ("onnx", False, 1)], 2),
        ([("python", False, 0)], 1),
    ],
)
def test_blas_gets_the_smallest_share_of_the_python_stages_of_this_process(stages, threads):
    assert blas_threads(plan(*stages)) == threads


def test_everything_is_set_and_set_back():
    np.ones((2, 2)) @ np.ones((2, 2))
    before = sys.getswitchinterval(), blas()
    with tuned(plan(("python", False, 1))):
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS)
        assert gc.get_freeze_count() > 0
        assert set(blas()) == {1}
    assert (sys.getswitchinterval(), blas()) == before
    assert gc.get_freeze_count() == 0


def test_a_limit_that_is_lower_already_stays():
    with threadpool_limits(1, user_api="blas"), tuned(plan(("python", False, 8))):
        assert set(blas()) == {1}
