"""Stages that do what stages should not, as files of a user, and engines that run them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.engines import on_plan
from executor import Engine
from pipeline_dsl.check import Options
from pipeline_dsl.compile import compile_path
from pipeline_dsl.plan import Gpu, Hardware

_numbers = count()


@contextmanager
def running(
    folder: Path, code: str, *functions: str, on: str = "cuda", arrays: str = "torch", profile: str = ""
) -> Iterator[Engine]:
    """A chain of functions `f(*, x)` of f32 rows of four, on device 0. `profile`: what its profile says besides."""
    module = f"gpu_stages_{next(_numbers)}"
    (folder / f"{module}.py").write_text(textwrap.dedent(code))
    lines = ["pipe 1"]
    for name in functions:
        lines.append(f"stage {name}(x: f32[*, 4]) -> (y: f32[*, 4])")
        lines.append(f'  using python("{module}:{name}", arrays = "{arrays}")')
    lines.append("pipeline p(x: f32[B, 4]) -> (out: f32[B, 4]) {")
    for i, name in enumerate(functions):
        lines.append(f"  v{i} = {name}({f'v{i - 1}' if i else 'x'})")
    lines += [f"  return out = v{len(functions) - 1}", "}"]
    lines += ["profile bench {", f"  * {{ device = {on}(0), batching {{ max = 8 }}, graphs = off }}", profile, "}", ""]
    path = folder / f"{module}.pipe"
    path.write_text("\n".join(lines))
    hardware = Hardware(cores=2, gpus=(Gpu(name="cuda:0", memory=0),))
    with on_plan(compile_path(path, Options(environ={}, profile="bench"), hardware)) as engine:
        yield engine


def rows(count: int, value: float = 1.0) -> Any:
    return np.full((count, 4), value, np.float32)


def answer(engine: Engine, x: Any) -> Any:
    return np.array(engine.submit("p", {"x": x}).result(60)["out"])
