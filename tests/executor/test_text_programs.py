"""Random modules as text, compiled and run: every answer equals the interpreter's, and afterwards nothing is left."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from executor import Engine, Response
from executor.errors import Cancelled, DeadlineExceeded, StageFailed
from pipeline_dsl import ir
from pipeline_dsl.compile import check_text, optimized
from pipeline_dsl.planning import build
from tests.control_programs import OPTIONS, RandomModule, random_module
from tests.pipeline_dsl.graphs import HOST

from .functions import FUNCTIONS, POISON, ROW_POISON, FunctionBackend
from .interpreter import Failure, Interpreter
from .random_runs import Asked, Outcome, by_threads, same
from .test_nested_programs import timers


def run(seed: int) -> None:
    rng = random.Random(seed)
    module = random_module(rng)
    checked, sink = check_text(module.text, OPTIONS)
    assert checked is not None, sink
    program = optimized(checked, verify=True)
    pauses = random.Random(seed + 1)
    backend = FunctionBackend(lambda: pauses.choice([0, 0, 0, 0, 0.0002]), FUNCTIONS)
    backends.register("function", lambda: backend)
    engine = Engine(build(program, HOST))
    engine.start()
    try:
        asked = [ask(inputs, i, rng) for i, inputs in enumerate(module.inputs)]
        for request, outcome in zip(asked, by_threads(engine, asked, rng), strict=True):
            compare(module, program, request, outcome)
        assert engine.drain(20)
        assert engine.check_idle() == []
        assert timers(engine) == 0
    finally:
        engine.stop()
    assert backend.live == 0


def ask(inputs: dict[str, Any], index: int, rng: random.Random) -> Asked:
    x = inputs["x"]
    x[:, 0] = np.where(x[:, 0] >= POISON, ROW_POISON + x[:, 0] % 1000, x[:, 0])
    timeout = rng.choice([0.0, 0.0005, 0.002, 30.0]) if rng.random() < 0.2 else None
    return Asked("p", inputs, {"timeout": timeout, "id": f"p{index}"}, rng.random() < 0.1)


def compare(module: RandomModule, program: ir.Program, asked: Asked, outcome: Outcome) -> None:
    if isinstance(outcome, Cancelled | DeadlineExceeded):
        return
    functions = {name: planted(program, name, function) for name, function in module.functions.items()}
    once = {n for n, s in program.stages.items() if s.contract.effects == "once"}
    try:
        expected = Interpreter(functions, once).run(program.pipelines["p"], asked.inputs)
    except Failure:
        assert isinstance(outcome, StageFailed), outcome
        return
    assert isinstance(outcome, Response), outcome
    for name, value in expected.items():
        same(outcome[name], value, name)


def planted(program: ir.Program, stage: str, function: str) -> Any:
    """The stage's function with its planted failures, for one request."""
    if "fails" not in program.stages[stage].arguments:
        return FUNCTIONS[function]

    def call(x: Any, *rest: Any) -> Any:
        if isinstance(x, np.ndarray) and x.ndim == 2 and (x[:, 0] >= POISON).any():
            raise Failure("poison")
        return FUNCTIONS[function](x, *rest)

    return call


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_any_seed(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("fifty", range(6))
def test_fixed_seeds(fifty: int) -> None:
    for seed in range(50 * fifty, 50 * fifty + 50):
        try:
            run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
