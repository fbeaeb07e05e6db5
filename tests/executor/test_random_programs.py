"""Every answer equals the interpreter's, or is the planted failure, or CANCELLED, whatever the settings."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from executor import Engine, Response
from executor.errors import Cancelled, DeadlineExceeded, StageFailed
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST

from .functions import FUNCTIONS, FunctionBackend
from .interpreter import Failure, interpret
from .random_programs import RandomProgram, random_inputs, random_program

REQUESTS = 24


def run(seed: int) -> None:
    rng = random.Random(seed)
    made = random_program(rng)
    pauses = random.Random(seed + 1)
    backend = FunctionBackend(lambda: pauses.choice([0, 0, 0, 0.0002]))
    backends.register("function", lambda: backend)
    engine = Engine(build(made.program, HOST))
    engine.start()
    try:
        alive = check_answers(engine, made, rng)
        assert engine.drain(20)
        assert engine.check_idle() == []
    finally:
        engine.stop()
    assert backend.live == 0
    gc.collect()
    assert [a for a in alive if a() is not None] == []


def check_answers(engine: Engine, made: RandomProgram, rng: random.Random) -> list[weakref.ref[Any]]:
    """Submit, cancel some, compare all; weak references to the inputs, which nothing may hold afterwards."""
    requests = [random_inputs(rng, i) for i in range(REQUESTS)]
    jobs = []
    for inputs in requests:
        limit = rng.choice([0.0005, 30.0]) if rng.random() < 0.2 else None
        jobs.append(engine.submit("p", inputs, priority=rng.choice([None, 1, 2]), timeout=limit))
        if rng.random() < 0.1:
            rng.choice(jobs).cancel()
    for inputs, job in zip(requests, jobs, strict=True):
        compare(made, inputs, job)
    return [weakref.ref(a) for inputs in requests for a in inputs.values()]


def compare(made: RandomProgram, inputs: dict[str, Any], job: Any) -> None:
    error = job.exception(timeout=20)
    if isinstance(error, Cancelled | DeadlineExceeded):
        return
    functions = {stage: planted(made, stage) for stage in made.functions}
    try:
        expected = interpret(made.graph, functions, inputs)
    except Failure:
        assert isinstance(error, StageFailed)
        assert isinstance(error.__cause__, Failure)
        return
    assert error is None, error
    response: Response = job.result()
    assert list(response) == list(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(response[name], value, err_msg=name)


def planted(made: RandomProgram, stage: str) -> Any:
    """The stage's function with its planted failures, for one request."""
    function = FUNCTIONS[made.functions[stage]]
    if "fails" not in made.program.stages[stage].arguments:
        return function

    def call(x: Any, *rest: Any) -> Any:
        if isinstance(x, np.ndarray) and (x[:, 0] >= 1000).any():
            raise Failure("poison")
        return function(x, *rest)

    return call


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_answers_equal_the_interpreter(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", range(20))
def test_fixed_seeds(seed: int) -> None:
    run(seed)
