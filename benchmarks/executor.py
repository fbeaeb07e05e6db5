"""`python -m benchmarks.executor [--json FILE] [--keep FILE] [--only NAME ..]`: the host figures beside their budgets.

BLAS runs on one thread and the interpreter switches threads every 0.1 ms, as `pipectl run` and `serve` set it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np

from .figures import FIGURES, Figure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.executor", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--keep", type=Path, help="put the table on top of this list of results")
    parser.add_argument("--only", nargs="*", default=[], help="names of figures")
    options = parser.parse_args()
    sys.setswitchinterval(1e-4)
    found = [make() for make in FIGURES if not options.only or make.__name__ in options.only]
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(report(found), indent=2) + "\n")
    if options.keep:
        keep(options.keep, found)
    return 0


def keep(path: Path, figures: list[Figure], command: str = "python -m benchmarks.executor") -> None:
    """Put the table below the first heading of a Markdown file, newest first."""
    head, mark, older = path.read_text().partition("\n## ")
    made = report(figures)
    title = f"{made['date']}, {made['machine']}, Python {made['python']}, numpy {made['numpy']}"
    entry = f"\n## {title}\n\n`{command}`\n\n```\n{table(figures)}\n```\n"
    path.write_text(head.rstrip("\n") + "\n" + entry + (mark + older if mark else ""))


def table(figures: list[Figure]) -> str:
    lines = [f"{'figure':<24}{'value':>10}{'budget':>12}  {'':<5}details"]
    for f in figures:
        budget = f"{'>=' if f.at_least else '<='} {f.budget:g}"
        details = ", ".join(f"{k} {v:,.4g}" for k, v in f.details.items())
        lines.append(f"{f.name:<24}{f.value:>10.3g}{budget:>12}  {'ok' if f.met else 'MISS':<5}{details}")
    return "\n".join(lines)


def report(figures: list[Figure]) -> dict[str, object]:
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        **{f.name: f.value for f in figures},
        "figures": [asdict(f) | {"met": f.met} for f in figures],
    }


if __name__ == "__main__":
    sys.exit(main())
