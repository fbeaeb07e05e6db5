"""Random programs on an engine: requests are submitted and given up, and every answer compared.

An answer equals the interpreter's, or is the planted failure, a refusal or CANCELLED, whatever the settings.
"""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import backends
from backends.values import Ragged
from executor import Engine, Response
from executor.errors import Cancelled, DeadlineExceeded, Overloaded, RequestError, StageFailed
from pipeline_dsl.plan import Plan
from pipeline_dsl.planning import build
from tests.pipeline_dsl.graphs import HOST

from .functions import FUNCTIONS, POISON, FunctionBackend
from .interpreter import Failure, interpret
from .random_programs import RandomProgram, random_inputs, random_program, random_wanted

REQUESTS = 24


class Asked(NamedTuple):
    """A request of a test."""

    pipeline: str
    inputs: dict[str, Any]
    options: dict[str, Any]
    gives_up: bool
    """Its caller cancels it, or a neighbour, right away."""


Outcome = Response | BaseException


def run(
    seed: int,
    requests: int = REQUESTS,
    moved: Callable[[Plan], Plan] = lambda plan: plan,
    then: Callable[[Engine, RandomProgram], None] = lambda engine, made: None,
) -> None:
    """One program and its requests. `moved` gives the plan its devices; `then` is called before the engine is drained.
    Nothing may be left of any request."""
    rng = random.Random(seed)
    made = random_program(rng)
    pauses = random.Random(seed + 1)
    backend = FunctionBackend(lambda: pauses.choice([0, 0, 0, 0.0002]))
    backends.register("function", lambda: backend)
    engine = Engine(moved(build(made.program, HOST)))
    engine.start()
    try:
        alive = check_answers(engine, made, backend, rng, requests)
        then(engine, made)
        assert engine.drain(20)
        assert engine.check_idle() == []
    finally:
        engine.stop()
    assert backend.live == 0
    gc.collect()
    assert [a for a in alive if a() is not None] == []


def check_answers(
    engine: Engine, made: RandomProgram, backend: FunctionBackend, rng: random.Random, requests: int = REQUESTS
) -> list[weakref.ref[Any]]:
    """Submit, cancel some, compare all; weak references to what came in and out, which nothing may hold afterwards."""
    asked = [ask(made, i, rng) for i in range(requests)]
    face: Callable[..., list[Outcome]] = rng.choice([by_threads, by_loop])
    outcomes = face(engine, asked, rng)
    for request, outcome in zip(asked, outcomes, strict=True):
        compare(made, request, outcome)
    check_once(made, backend, asked)
    check_figures(engine, outcomes)
    arrays = [a for request in asked for a in request.inputs.values()]
    arrays += [v for o in outcomes if isinstance(o, Response) for v in o.values() if isinstance(v, np.ndarray)]
    return [weakref.ref(a) for a in arrays]


def ask(made: RandomProgram, index: int, rng: random.Random) -> Asked:
    pipeline = rng.choice(list(made.program.pipelines))
    options = {
        "timeout": rng.choice([0.0, 0.0005, 30.0]) if rng.random() < 0.2 else None,
        "priority": rng.choice([None, 1, 2, 3]),
        "outputs": random_wanted(made.program.pipelines[pipeline], rng),
        "id": f"{pipeline}{index}",
    }
    return Asked(pipeline, random_inputs(rng, index), options, rng.random() < 0.1)


def by_threads(engine: Engine, asked: list[Asked], rng: random.Random) -> list[Outcome]:
    jobs: list[Any] = []
    for pipeline, inputs, options, gives_up in asked:
        try:
            jobs.append(engine.submit(pipeline, inputs, **options))
        except RequestError as error:
            jobs.append(error)
        if gives_up and not isinstance(victim := rng.choice(jobs), RequestError):
            victim.cancel()
    return [j if isinstance(j, RequestError) else j.exception(20) or j.result() for j in jobs]


def by_loop(engine: Engine, asked: list[Asked], rng: random.Random) -> list[Outcome]:
    async def main() -> list[Outcome]:
        tasks: list[Any] = []
        for pipeline, inputs, options, gives_up in asked:
            tasks.append(asyncio.create_task(engine.asubmit(pipeline, inputs, **options)))
            for _ in range(rng.choice([0, 0, 1, 2])):
                await asyncio.sleep(0)
            if gives_up:
                rng.choice(tasks).cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)

    return asyncio.run(main())


def compare(made: RandomProgram, asked: Asked, outcome: Outcome) -> None:
    if isinstance(outcome, Cancelled | asyncio.CancelledError | DeadlineExceeded):
        return
    if isinstance(outcome, Overloaded):
        assert made.may_refuse
        return
    functions = {stage: planted(made, stage) for stage in made.functions}
    wanted = asked.options["outputs"]
    try:
        graph = made.program.pipelines[asked.pipeline]
        expected = interpret(graph, functions, asked.inputs, wanted, made.once)
    except Failure:
        assert isinstance(outcome, StageFailed), outcome
        assert isinstance(outcome.__cause__, Failure)
        return
    if isinstance(outcome, StageFailed) and made.once and "(raised for a batch of" in outcome.message:
        return
    assert isinstance(outcome, Response), outcome
    assert list(outcome) == (list(expected) if wanted is None else list(dict.fromkeys(wanted)))
    for name, value in expected.items():
        same(outcome[name], value, name)


def same(found: Any, expected: Any, name: str) -> None:
    if isinstance(expected, list):
        assert isinstance(found, Ragged)
        assert [row.tolist() for row in found] == [row.tolist() for row in expected], name
    elif expected is None:
        assert found is None, name
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)


def planted(made: RandomProgram, stage: str) -> Any:
    """The stage's function with its planted failures, for one request."""
    function = FUNCTIONS[made.functions[stage]]
    if "fails" not in made.program.stages[stage].arguments:
        return function

    def call(x: Any, *rest: Any) -> Any:
        if isinstance(x, np.ndarray) and (x[:, 0] >= POISON).any():
            raise Failure("poison")
        return function(x, *rest)

    return call


def check_once(made: RandomProgram, backend: FunctionBackend, asked: list[Asked]) -> None:
    """No row of a request ran twice where that must not be."""
    sites = made.sites
    rows = {a.options["id"]: (a.pipeline, len(a.inputs["x"])) for a in asked}
    for (stage, request), ran in backend.rows.items():
        pipeline, own = rows[request]
        assert ran <= sites[stage, pipeline] * max(own, 1), (stage, request)


def check_figures(engine: Engine, outcomes: list[Outcome]) -> None:
    """Every request is counted once. A task that was cancelled early enough never reached the engine."""
    found = engine.stats().pipelines
    reached = sum(p.succeeded + sum(p.failures.values()) for p in found)
    never = sum(isinstance(o, asyncio.CancelledError) for o in outcomes)
    assert len(outcomes) - never <= reached <= len(outcomes)
    assert sum(p.succeeded for p in found) >= sum(isinstance(o, Response) for o in outcomes)
    assert all(p.inflight == p.waiting == 0 for p in found)
