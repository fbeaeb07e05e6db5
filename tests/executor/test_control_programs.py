"""Modules as text, with nested constructs and called pipelines, from the checker to the answer.

Every answer equals the interpreter's, of the graph that was planned; afterwards nothing is left in the engine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from executor import Engine, Response
from executor.errors import StageFailed
from pipeline_dsl import ir, planning
from pipeline_dsl.compile import check_text, optimized
from tests.control_programs import OPTIONS, RandomModule, random_module
from tests.pipeline_dsl.graphs import HOST

from .functions import FUNCTIONS, POISON, FunctionBackend
from .interpreter import Failure, Function, Interpreter


def run(seed: int) -> None:
    made = random_module(random.Random(seed))
    checked, sink = check_text(made.text, OPTIONS)
    assert checked is not None, sink.errors
    program = optimized(checked, verify=True)
    backend = FunctionBackend()
    backends.register("function", lambda: backend)
    engine = Engine(planning.build(program, HOST))
    engine.start()
    try:
        jobs = [engine.submit("p", inputs) for inputs in made.inputs]
        for job, inputs in zip(jobs, made.inputs, strict=True):
            compare(program, made, inputs, job.exception(20) or job.result())
        assert engine.drain(20)
        assert engine.check_idle() == []
    finally:
        engine.stop()
    assert backend.live == 0


def compare(program: ir.Program, made: RandomModule, inputs: Mapping[str, Any], outcome: object) -> None:
    functions = {name: planted(program.stages[name], function) for name, function in made.functions.items()}
    once = {name for name, stage in program.stages.items() if stage.contract.effects == "once"}
    try:
        expected = Interpreter(functions, once).run(program.pipelines["p"], inputs)
    except Failure:
        assert isinstance(outcome, StageFailed), outcome
        return
    assert isinstance(outcome, Response), outcome
    for name, value in expected.items():
        if isinstance(value, list):
            assert [np.asarray(row).tolist() for row in outcome[name]] == [row.tolist() for row in value], name
        else:
            np.testing.assert_array_equal(outcome[name], value, err_msg=name)


def planted(stage: ir.Stage, name: str) -> Function:
    """The stage's function with its planted failures, for one element."""

    def call(x: Any, *rest: Any) -> Any:
        if "fails" in stage.arguments and isinstance(x, np.ndarray) and (x[:, 0] >= POISON).any():
            raise Failure("poison")
        return FUNCTIONS[name](x, *rest)

    return call


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_answers_equal_the_interpreter(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("fifty", range(4))
def test_fixed_seeds(fifty: int) -> None:
    for seed in range(50 * fifty, 50 * fifty + 50):
        try:
            run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
