"""`python -m benchmarks.fused`: what one more device stage in a chain costs the host: apart, as one, or as a graph.

The device does nothing (`null_device`), so that only the host's work is left. One request of 4 rows at a time; the cost
of a stage is the difference of a chain of 10 and one of 2, divided by 8, as processor time of the whole process.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from executor import Engine
from pipeline_dsl.compile import Options, compile_text
from pipeline_dsl.plan import Gpu, Hardware

from .null_device import NullDriver, placed

SHORT, LONG = 2, 10
REQUESTS = 2000
WAYS = {
    "apart": "* { device = cuda(0), fuse = false }",
    "as one": "* { device = cuda(0), graphs = off }",
    "as a graph": "* { device = cuda(0) }",
}


def program(length: int, profile: str) -> str:
    """A chain of stages that launch one piece of work each."""
    stages = "".join(f"stage s{i}(x: f32[*, 16]) -> (y: f32[*, 16]) using null()\n" for i in range(length))
    calls = "".join(f"  v{i} = s{i}({f'v{i - 1}' if i else 'x'})\n" for i in range(length))
    pipeline = f"pipeline p(x: f32[*, 16]) -> (y: f32[*, 16]) {{\n{calls}  return y = v{length - 1}\n}}\n"
    return f"pipe 1\n{stages}{pipeline}profile gpu {{\n  {profile}\n}}\n"


def request_us(length: int, profile: str) -> float:
    """Processor time of one request, median of five series."""
    hardware = Hardware(cores=2, gpus=(Gpu("null", 1 << 30),))
    plan = compile_text(program(length, profile), Options(profile="gpu"), hardware)
    plan = replace(plan, stages=tuple(replace(stage, backend="launch") for stage in plan.stages))
    x = np.zeros((4, 16), np.float32)
    with placed(NullDriver()):
        engine = Engine(plan)
        engine.start()
        try:
            for _ in range(200):
                engine.submit("p", {"x": x}).result(10)
            series = []
            for _ in range(5):
                start = time.process_time()
                for _ in range(REQUESTS // 5):
                    engine.submit("p", {"x": x}).result(10)
                series.append((time.process_time() - start) / (REQUESTS // 5))
        finally:
            engine.stop()
    return sorted(series)[2] * 1e6


def main() -> int:
    sys.setswitchinterval(1e-4)
    print(f"{'':<12}{'stage, us':>10}{f'request of {SHORT}, us':>20}{f'request of {LONG}, us':>20}")
    for way, profile in WAYS.items():
        short, long = request_us(SHORT, profile), request_us(LONG, profile)
        print(f"{way:<12}{(long - short) / (LONG - SHORT):>10.1f}{short:>20.0f}{long:>20.0f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
