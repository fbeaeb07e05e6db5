"""Runs the measures and prints their figures."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from .memory import memory
from .overload import overload
from .reload import reload
from .slow import slow

MEASURES: dict[str, Callable[[float], dict[str, object]]] = {
    "overload": overload,
    "memory": memory,
    "slow": slow,
    "reload": reload,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--only", nargs="*", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--scale", type=float, default=1.0, help="of counts and times; 1 takes about twenty minutes")
    options = parser.parse_args()
    found: dict[str, object] = {"environment": environment(), "scale": options.scale}
    for name in options.only:
        found[name] = measured = MEASURES[name](options.scale)
        print(f"{name}:")
        for line in lines(measured):
            print(f"  {line}")
        sys.stdout.flush()
        if options.json:
            options.json.write_text(json.dumps(found, indent=1))
    return 0


def lines(figures: dict[str, object]) -> Iterator[str]:
    """One for each figure, or for each group of them."""
    for name, value in figures.items():
        if isinstance(value, dict):
            yield f"{name:22} " + ", ".join(f"{key} {shown(one)}" for key, one in value.items())
        else:
            yield f"{name:22} {shown(value)}"


def shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def environment() -> dict[str, object]:
    libraries = {name: version(name) for name in ("grpcio", "uvicorn", "uvloop", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count(), **libraries}


if __name__ == "__main__":
    sys.exit(main())
