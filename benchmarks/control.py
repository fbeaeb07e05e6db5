"""`python -m benchmarks.control [--json FILE] [--keep FILE]`: what `map` and `if` cost beside code written by hand.

map_efficiency    items of 16 clients against a loop that always has a full batch; 300 us of work an item
map_item_us       what an item costs where the work is nothing, a thousand a request
branch_item_us    what an `if` around nothing adds to each item
cascade_gain      a small and a large model against the large one alone; every fourth row is hard
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import backends
from executor import Engine
from pipeline_dsl.check import Options, TextLoader
from pipeline_dsl.compile import compile_text

from .executor import keep, report, table
from .figures import WIDTH, Figure, alternate, by_turns, per_row
from .programs import HARDWARE, Numpy, Work

BATCH = 32

MAP = f"""pipe 1
stage work(x: f32[*, {WIDTH}]) -> (y: f32[*, {WIDTH}]) using numpy()
pipeline p(x: f32[N, {WIDTH}]) -> (out: f32[N, {WIDTH}]) {{
  out = map (max = 4096) item in x {{
    yield work(item)
  }}
  return out
}}
profile bench {{
  work {{ batching {{ max = {BATCH} }}, queue {{ max = 65536 }} }}
}}
"""
"""A map around one stage."""

BARE = """pipe 1
stage work(x: f32[*, 4]) -> (y: f32[*, 4]) using numpy()
pipeline p(x: f32[N, 4]) -> (out: f32[N, 4]) {
  out = map (max = 4096) item in x {
    y = work(item)
    yield y
  }
  return out
}
profile bench {
  work { batching { max = 4096 }, queue { max = 65536 } }
}
"""
BRANCHED = BARE.replace(
    "    yield y\n",
    """    r = if flag(item) {
      yield y
    } else {
      yield item
    }
    yield r
""",
).replace("pipeline p", "stage flag(x: f32[*, 4]) -> (f: bool[*]) using numpy()\npipeline p")
BRANCHED = BRANCHED.replace("  work {", "  flag { batching { max = 4096 }, queue { max = 65536 } }\n  work {")
"""Constructs around stages that do nothing."""

CASCADE = f"""pipe 1
stage small(x: f32[*, {WIDTH}]) -> (y: f32[*, {WIDTH}]) using numpy()
stage sure(x: f32[*, {WIDTH}]) -> (f: bool[*]) using numpy()
stage large(x: f32[*, {WIDTH}]) -> (y: f32[*, {WIDTH}]) using numpy()
pipeline cascade(x: f32[N, {WIDTH}]) -> (out: f32[N, {WIDTH}]) {{
  out = map (max = 4096) item in x {{
    r = if sure(item) {{
      yield small(item)
    }} else {{
      yield large(item)
    }}
    yield r
  }}
  return out
}}
pipeline always(x: f32[N, {WIDTH}]) -> (out: f32[N, {WIDTH}]) {{
  out = map (max = 4096) item in x {{
    yield large(item)
  }}
  return out
}}
profile bench {{
  * {{ batching {{ max = {BATCH} }}, queue {{ max = 65536 }} }}
}}
"""
"""Rows whose first value is odd are hard."""


def engine(text: str, functions: dict[str, Work]) -> Engine:
    backends.register("numpy", lambda: Numpy(functions))
    profile = "bench" if "profile bench" in text else None
    options = Options(environ={}, loader=TextLoader({}), backends=lambda: ("numpy",), profile=profile)
    running = Engine(compile_text(text, options, HARDWARE))
    running.start()
    return running


def per_second(running: Engine, pipeline: str, x: Any, clients: int, each: int) -> float:
    """Items a second of clients that each ask one request after the other."""

    async def client() -> None:
        for _ in range(each):
            await running.asubmit(pipeline, {"x": x})

    async def all_of_them() -> float:
        start = time.perf_counter()
        await asyncio.gather(*[client() for _ in range(clients)])
        return clients * each * len(x) / (time.perf_counter() - start)

    return asyncio.run(all_of_them())


def map_efficiency() -> Figure:
    """16 clients with 5 items a request, 300 us an item, against a loop that always has 32 rows."""
    work = per_row(300e-6)
    running = engine(MAP, {"work": work})
    x = np.ones((5, WIDTH), np.float32)
    full = np.ones((BATCH, WIDTH), np.float32)

    def loop() -> float:
        start = time.perf_counter()
        for _ in range(20):
            work(full)
        return 20 * BATCH / (time.perf_counter() - start)

    per_second(running, "p", x, 16, 2)  # whoever comes first finds nothing warm
    ratio, ours, floor = by_turns(lambda: per_second(running, "p", x, 16, 8), loop)
    rows = [n for n in running.stats().nodes if n.node == "p.work_1" or n.stage == "work"]
    running.stop()
    filled = rows[0].rows / rows[0].executions
    details = {"items_per_s": ours, "loop_per_s": floor, "loop_item_us": 1e6 / floor, "rows_per_batch": filled}
    return Figure("map_efficiency", ratio, 0.90, True, details=details)


def item_us(text: str, functions: dict[str, Work], items: int = 1000) -> float:
    """Microseconds an item costs, one request at a time; the least of several."""
    running = engine(text, functions)
    x = np.zeros((items, 4), np.float32)
    x[::2, 0] = 1
    times = []
    for _ in range(40):
        start = time.perf_counter()
        running.submit("p", {"x": x}).result()
        times.append((time.perf_counter() - start) / items * 1e6)
    running.stop()
    return min(times)


def map_item_us() -> Figure:
    """A map around a stage that does nothing."""
    functions: dict[str, Work] = {"work": lambda x: x + 1}
    details = {"items_of_a_request_1000": item_us(BARE, functions), "items_10": item_us(BARE, functions, 10)}
    return Figure("map_item_us", details["items_of_a_request_1000"], 5.0, unit="us", details=details)


def branch_item_us() -> Figure:
    """What an `if` adds, half of the items in each arm, over the same stages without it."""
    functions: dict[str, Work] = {"work": lambda x: x + 1, "flag": lambda x: x[:, 0] > 0}
    whole, without = item_us(BRANCHED, functions), item_us(BARE, functions)
    return Figure("branch_item_us", whole - without, 10.0, unit="us", details={"with": whole, "without": without})


def cascade_gain() -> Figure:
    """Rows a second of the cascade over those of the large model alone, which costs eight times the small one."""
    small = per_row(50e-6)

    def large(x: Any) -> Any:
        for _ in range(8):
            x = small(x)
        return x

    functions: dict[str, Work] = {"small": small, "large": large, "sure": lambda x: x[:, 0] == 0}
    running = engine(CASCADE, functions)
    x = np.zeros((8, WIDTH), np.float32)
    x[::4, 0] = 1
    cascade, always = alternate(
        lambda: per_second(running, "cascade", x, 16, 6), lambda: per_second(running, "always", x, 16, 2), 4
    )
    rows = {n.node: n.rows for n in running.stats().nodes if n.pipeline == "cascade"}
    running.stop()
    seen = max(rows.values())
    large = sum(count for node, count in rows.items() if "large" in node)
    details = {"rows_per_s": cascade, "always_per_s": always, "rows": seen, "rows_at_large": large}
    return Figure("cascade_gain", cascade / always, 2.0, True, details=details)


FIGURES = (map_efficiency, map_item_us, branch_item_us, cascade_gain)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--keep", type=Path, help="put the table on top of this list of results")
    options = parser.parse_args()
    sys.setswitchinterval(1e-4)
    found = [make() for make in FIGURES]
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(report(found), indent=2) + "\n")
    if options.keep:
        keep(options.keep, found, "python -m benchmarks.control")
    return 0


if __name__ == "__main__":
    sys.exit(main())
