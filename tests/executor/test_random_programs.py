"""Every answer equals the interpreter's, or is the planted failure, a refusal or CANCELLED, whatever the settings."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .random_runs import run


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_answers_equal_the_interpreter(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", range(20))
def test_fixed_seeds(seed: int) -> None:
    run(seed)
