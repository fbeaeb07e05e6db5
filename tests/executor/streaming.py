"""Pipelines with streams for tests, from text, on a manual clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from executor import Engine
from executor.clock import ManualClock
from pipeline_dsl.check.options import Options
from pipeline_dsl.compile import compile_text
from pipeline_dsl.plan import Hardware

from .streaming_stages import CLOCKS, GATES, LOG, PATIENCE, SEEN

MODULE = "tests.executor.streaming_stages"
STAGES = """
pipe 1

stage numbers(n: i64) -> (s: stream i64) using python("M:numbers")
stage told(n: i64) -> (s: stream i64, count: i64) using python("M:told")
stage rays(n: i64) -> (s: stream f32[4], last: f32[4]) using python("M:rays")
stage long(x: f32[*, 4]) -> (y: f32[*, 4]) using python("M:double")
stage pairs(n: i64) -> (a: stream i64, b: stream string) using python("M:pairs")
stage gated(name: string) -> (s: stream i64) using python("M:gated")
stage ticking(name: string) -> (s: stream i64) using python("M:ticking")
stage doubled(s: stream i64) -> (t: stream i64) using python("M:doubled")
stage first(s: stream i64, n: i64) -> (sum: i64) using python("M:first")
stage total(s: stream i64) -> (sum: i64) using python("M:total")
stage double(x: i64[*]) -> (y: i64[*]) using python("M:double")
stage picky(x: i64) -> (y: i64) using python("M:picky")
""".replace("M:", f"{MODULE}:")


@dataclass
class Scene:
    engine: Engine
    clock: ManualClock

    def send(self, pipeline: str = "p", /, **inputs: Any) -> Any:
        """The answer, once its streams exist. Options of `submit` begin with `_`."""
        options = {k[1:]: inputs.pop(k) for k in list(inputs) if k.startswith("_")}
        return self.engine.submit(pipeline, inputs, **options).result(PATIENCE)

    def rests(self) -> None:
        """Nothing is left, now or as soon as workers have done what they are at."""
        until(lambda: self.engine.check_idle() == [], lambda: self.engine.check_idle())


def until(true: Callable[[], bool], what: Callable[[], object] = lambda: "it") -> None:
    """Wait for another thread; for what has no event to wait for."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"did not happen: {what()}"
        time.sleep(0.001)


@contextmanager
def running(text: str, profile: str = "") -> Iterator[Scene]:
    """An engine for pipelines over `STAGES`; everything must be at rest in the end."""
    for kept in (SEEN, GATES, LOG, CLOCKS):
        kept.clear()
    options = Options(profile="t" if profile else None)
    profile = f"\nprofile t {{\n{profile}\n}}\n" if profile else ""
    clock = ManualClock()
    engine = Engine(compile_text(STAGES + text + profile, options, Hardware(cores=2)), clock)
    engine.start()
    try:
        scene = Scene(engine, clock)
        yield scene
        scene.rests()
        assert engine.drain(PATIENCE)
        assert set(engine.flow.streams.open.values()) <= {0}
    finally:
        for gate in GATES.values():
            gate.release(10_000)
        engine.stop()
