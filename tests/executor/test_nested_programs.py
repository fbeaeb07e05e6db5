"""Constructs in constructs: every answer equals the interpreter's, and afterwards nothing is left."""

from __future__ import annotations

import random
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import backends
from executor import Engine, Response
from executor.errors import Cancelled, DeadlineExceeded, RequestError, StageFailed
from pipeline_dsl import ir
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST

from .functions import ROW_POISON, FunctionBackend
from .interpreter import Failure, Interpreter
from .nested_programs import nested_program
from .random_programs import RandomProgram, random_inputs, random_wanted
from .random_runs import Asked, Outcome, by_threads, planted, same

REQUESTS = 12


def run(seed: int, calm: bool = True) -> None:
    rng = random.Random(seed)
    made = nested_program(rng, calm)
    pauses = random.Random(seed + 1)
    backend = FunctionBackend(lambda: pauses.choice([0, 0, 0, 0, 0.0002]))
    backends.register("function", lambda: backend)
    engine = Engine(build(made.program, HOST))
    engine.start()
    try:
        asked = [ask(made, i, rng) for i in range(REQUESTS)]
        outcomes = by_threads(engine, asked, rng)
        for request, outcome in zip(asked, outcomes, strict=True):
            if calm:
                compare(made, request, outcome)
            else:
                assert isinstance(outcome, Response | RequestError), outcome
                assert not isinstance(outcome, RequestError) or "internal error" not in outcome.message, outcome
        assert engine.drain(20)
        assert engine.check_idle() == []
        assert timers(engine) == 0
    finally:
        engine.stop()
    assert backend.live == 0


def timers(engine: Engine) -> int:
    """Timers of attempts and requests that are still set. Stages and calls keep theirs, which hold nothing."""
    heap = engine.clock._heap  # type: ignore[attr-defined]  # the machine's clock
    calls = [timer.call for _, _, timer in list(heap)]
    return sum(isinstance(c, partial) and c.func.__name__ in ("_late", "_hedge", "_expire", "_give_up") for c in calls)


def ask(made: RandomProgram, index: int, rng: random.Random) -> Asked:
    inputs = random_inputs(rng, index)
    x = inputs["x"]
    x[:, 0] = np.where(x[:, 0] >= 1000, ROW_POISON + x[:, 0] % 1000, x[:, 0])
    options = {
        "timeout": rng.choice([0.0, 0.0005, 0.002, 30.0]) if rng.random() < 0.2 else None,
        "priority": rng.choice([None, 1, 2]),
        "outputs": random_wanted(made.program.pipelines["p"], rng),
        "id": f"p{index}",
    }
    return Asked("p", inputs, options, rng.random() < 0.1)


def compare(made: RandomProgram, asked: Asked, outcome: Outcome) -> None:
    if isinstance(outcome, Cancelled | DeadlineExceeded):
        return
    functions = {stage: planted(made, stage) for stage in made.functions}
    wanted = asked.options["outputs"]
    interpreter = Interpreter(functions, made.once)
    try:
        expected = interpreter.run(made.program.pipelines["p"], asked.inputs, wanted)
    except Failure:
        assert isinstance(outcome, StageFailed), outcome
        return
    assert isinstance(outcome, Response), outcome
    for name, value in expected.items():
        same(outcome[name], value, name)


def constructs(made: RandomProgram) -> set[str]:
    return {type(n).__name__ for n in ir.walk(made.program.pipelines["p"].nodes) if isinstance(n, ir.Control)}


def test_programs_hold_every_construct_in_every_other() -> None:
    pairs: set[tuple[str, str]] = set()
    for seed in range(300):
        for node in ir.walk(nested_program(random.Random(seed)).program.pipelines["p"].nodes):
            inside = [n for region in ir.regions(node) for n in region.nodes]
            pairs |= {(type(node).__name__, type(n).__name__) for n in inside if isinstance(n, ir.Control)}
    names = ("Branch", "Route", "Map", "Try")
    assert pairs >= {(a, b) for a in names for b in names}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32))
def test_answers_equal_the_interpreter(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("hundred", range(3))
def test_nothing_is_left_where_queues_refuse_and_time_runs_out(hundred: int) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        try:
            run(seed, calm=False)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


@pytest.mark.parametrize("hundred", range(19))
def test_fixed_seeds(hundred: int) -> None:
    """With those above, 2,000 programs."""
    for seed in range(100 * hundred, 100 * hundred + 100):
        try:
            run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
