"""Measures the works on all servers, prints their figures, and says which goals they reach."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .bare import Bare
from .goals import Outcome, outcomes
from .measure import Point, measured_work, rows
from .servers import servers
from .works import WORKS, Array, Work, inputs

OWN = ("echo", "pipectl")


def main() -> int:
    options = arguments()
    points: list[Point] = []
    works = [WORKS[name] for name in options.only]
    for work in works:
        if not work.prepared:
            print(f"{work.name} is left out: `python examples/embed/prepare.py` makes its model", file=sys.stderr)
    start = time.perf_counter()
    for work in works:
        if work.prepared:
            expected = expectation(work)
            levels = options.clients or work.levels
            chosen = [s for s in servers(work) if not options.no_peers or s.kind in OWN]
            for _ in range(options.repeats):
                for point in measured_work(work, chosen, levels, options.seconds, expected):
                    points.append(point)
                    print(".", end="", file=sys.stderr, flush=True)
    print(f" {time.perf_counter() - start:.0f} s", file=sys.stderr)
    found = rows(points)
    reached = outcomes(found)
    print(table(found), *map(str, reached), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(report(found, reached, points), indent=1))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the figures go")
    parser.add_argument("--only", type=names, default=list(WORKS), metavar="w2,w3", help="works to measure")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each point, after warming up")
    parser.add_argument("--repeats", type=int, default=2, help="servers take turns so many times")
    parser.add_argument("--clients", type=int, nargs="+", help="at a time; by default what the work is about")
    parser.add_argument("--no-peers", action="store_true", help="only our server and the floors")
    parser.add_argument("--quick", action="store_true", help="half a second, once: do all servers answer right?")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.repeats, options.clients = 0.5, 1, options.clients or [1, 4]
    return options


def names(text: str) -> list[str]:
    found = text.split(",")
    unknown = [name for name in found if name not in WORKS]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(WORKS)}")
    return found


def expectation(work: Work) -> Array:
    """What every server shall answer to the first request."""
    return Bare(work)(inputs(work.name)[0])


def table(found: Sequence[Point]) -> str:
    """Figures as lines, the better run of each point."""
    lines = [
        f"{'work':4} {'server':22} {'protocol':19} {'clients':>7} {'req/s':>7} {'spread':>6} {'p50 ms':>8}"
        f" {'p99 ms':>8} {'CPU ms':>8} {'spread':>6} {'PSS MB':>6} {'ready s':>7} {'others':>6}"
    ]
    for row in found:
        server = f"{row['pss_mb']:6.0f} {row['ready_s']:7.2f} {row['foreign_cores']:6.2f}" if "pss_mb" in row else ""
        lines.append(
            f"{row['work']:4} {row['server']:22} {row['protocol']:19} {row['clients']:7} {row['requests_per_s']:7.0f}"
            f" {row['requests_per_s_spread']:6.0%} {row['p50_ms']:8.2f} {row['p99_ms']:8.2f} {row['cpu_ms']:8.3f}"
            f" {row['cpu_ms_spread']:6.0%} {server}".rstrip()
        )
    return "\n".join(lines)


def report(found: Sequence[Point], reached: Iterable[Outcome], points: Sequence[Point]) -> dict[str, Any]:
    libraries = {name: version(name) for name in ("grpcio", "protobuf", "uvicorn", "uvloop", "numpy")}
    return {
        "environment": {"python": platform.python_version(), "machine": platform.machine(), **libraries},
        "rows": found,
        "goals": [{"goal": str(o), "value": o.value, "met": o.met} for o in reached],
        "points": points,
    }


if __name__ == "__main__":
    sys.exit(main())
