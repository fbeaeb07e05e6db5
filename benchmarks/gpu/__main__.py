"""`python -m benchmarks.gpu [--json FILE] [--device cuda|sim] [--quick]`: checks everything, times it, prints tables.

Answers of every program are compared between the host, the engine in each of its modes and what is written by hand,
before anything is timed. What fails is a line of the tables and the exit code, and costs nothing else of the run.

`--schedule [--seeds N]`: events, waits, streams and memory of random programs on simulated devices instead.

It needs numpy, lark and networkx, and on a GPU CuPy and torch. Where lark can not be installed, its wheel on PYTHONPATH
will do.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from backends.base import BackendError
from benchmarks.figures import Figure

from .checks import CHECKS, Skipped, unordered_work
from .compare import Result, checked, simulated, timed
from .engines import accelerator
from .facts import all_facts, machine
from .tables import Line, checks_table, counts_table, facts_table, simulated_table, works_table
from .works import Work, all_works

NO_GPU = 3
"""Exit code where there is no GPU to measure."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", type=Path, help="write all figures there")
    parser.add_argument("--device", choices=["cuda", "sim"], default="cuda")
    parser.add_argument("--index", type=int, default=0, help="number of the device")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, small requests only")
    parser.add_argument("--schedule", action="store_true", help="what random programs need on simulated devices")
    parser.add_argument("--seeds", type=int, default=500, help="random programs for --schedule")
    options = parser.parse_args()
    logging.getLogger("pipectl").addHandler(logging.NullHandler())
    sys.setswitchinterval(1e-4)
    if options.schedule:
        from .schedule import survey

        found = survey(options.seeds)
        print(found.table())
        _write(options.json, {"schedule": found.report()})
        return 0
    return everything(options.device, options.index, quick=options.quick, out=options.json)


def everything(kind: str, index: int, *, quick: bool, out: Path | None) -> int:
    """Facts, checks and programs on one device; the exit code."""
    on, cuda = f"{kind}:{index}", kind == "cuda"
    if cuda:
        try:
            import torch  # noqa: F401 - before the device is opened, so that both libraries share its memory

            accelerator(on)
        except (BackendError, ImportError) as error:
            print(f"no GPU: {error}; `--device sim` runs the same programs on the simulator")
            return NO_GPU
    run = Run(on, cuda, quick)
    measures = all_facts(on, accelerator(on), quick=quick) if cuda else []
    figures = [figure for make in measures for figure in run.facts(make)]
    facts = run.attempt("machine", lambda: machine(index)) if cuda else {}
    for check in CHECKS if cuda else (unordered_work,):
        run.check(check)
    results = [made for work, sizes in all_works() for rows in sizes if (made := run.work(work, rows)) is not None]
    tables = [facts_table(facts or {}, figures), checks_table(run.lines), counts_table(results)]
    tables.append(works_table(results) if cuda else simulated_table(results))
    print("\n\n".join(table for table in tables if table))
    failed = [line for line in run.lines if line[1] == "FAIL"]
    report = {
        "date": date.today().isoformat(),
        "device": on,
        "machine": facts,
        "figures": [asdict(figure) for figure in figures],
        "checks": run.lines,
        "works": [result.report() for result in results],
    }
    _write(out, report)
    return int(bool(failed))


class Run:
    """One run on one device: what fails is noted, and the rest goes on."""

    def __init__(self, on: str, cuda: bool, quick: bool) -> None:
        self.on = on
        self.cuda = cuda
        self.quick = quick
        self.lines: list[Line] = []

    def attempt(self, name: str, make: Callable[[], Any]) -> Any:
        """What it gives; None if it fails, which is noted."""
        try:
            return make()
        except Exception as error:
            traceback.print_exc()
            self.lines.append((name, "FAIL", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))
            return None

    def facts(self, make: Callable[[], list[Figure]]) -> list[Figure]:
        return self.attempt("facts", make) or []

    def check(self, check: Callable[..., str]) -> None:
        name = check.__name__

        def checked_or_skipped() -> Line:
            try:
                return name, "ok", check(self.on, accelerator(self.on))
            except Skipped as why:
                return name, "skip", str(why)

        line = self.attempt(name, checked_or_skipped)
        if line is not None:
            self.lines.append(line)

    def work(self, work: Work, rows: int) -> Result | None:
        """Checked, and timed where that was well; None if the answers differ."""
        if self.quick and rows > 8:
            return None
        library = "torch" if self.cuda else "numpy"
        name = f"{work.name}, {rows} rows"
        result: Result | None = self.attempt(name, lambda: checked(work, rows, self.on, library))
        if result is None:
            return None
        self.lines.append(self._bytes(name, result))
        if self.cuda:
            count, times = (50, 1) if self.quick else (300, 3)
            self.attempt(f"{name}: times", lambda: timed(result, work, self.on, library, count=count, times=times))
        else:
            self.attempt(f"{name}: by hand", lambda: simulated(result, work))
        return result

    def _bytes(self, name: str, result: Result) -> Line:
        copied = sum(told.copied for told in result.counters.values())
        if copied or result.moved:
            return name, "FAIL", f"{copied} bytes were copied between stages, {result.moved} values were moved"
        return name, "ok", "answers agree, serial mode bit by bit; nothing copied between stages"


def _write(path: Path | None, report: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
