"""Programs the benchmarks run: chains and diamonds of numpy functions, made without a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import backends
from backends.base import Batch, BatchResult, InstanceConfig
from executor import Engine
from pipeline_dsl import ir
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.plan import Hardware, StagePlan
from pipeline_dsl.planning import build
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Rows, Sized, TensorType

HARDWARE = Hardware(cores=2)
Work = Callable[..., Any]


class Numpy:
    """Backend `numpy`: a stage is the function of that name."""

    name = "numpy"

    def __init__(self, functions: dict[str, Work]) -> None:
        self.functions = functions

    def load(self, stage: StagePlan, config: InstanceConfig) -> NumpyInstance:
        return NumpyInstance(self.functions[stage.name])


class NumpyInstance:
    thread_affine = False
    wants_context = False

    def __init__(self, function: Work) -> None:
        self.function = function

    def execute(self, batch: Batch) -> BatchResult:
        return BatchResult((self.function(*batch.inputs),))

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        pass


def rows(width: int, lead: Any = None) -> TensorType:
    return TensorType(DTYPES["f32"], (lead or Rows(), Sized(Size.of(width))))


def _value(width: int) -> TensorType:
    return rows(width, Sized(Size.of("B")))


def stage(name: str, inputs: int, width: int, backend: str) -> ir.Stage:
    ports = tuple(ir.Port(f"x{i}", rows(width)) for i in range(inputs))
    return ir.Stage(name, ir.Signature(ports, (ir.Port("y", rows(width)),)), backend, {}, ir.Contract(), ".")


def program(
    edges: dict[str, tuple[str, ...]], width: int, backend: str, settings: dict[str, dict[str, Any]] | None = None
) -> ir.Program:
    """Node -> the nodes it reads (`x` is the input); the last node is the output. Each node is a stage of its own."""
    nodes: list[ir.AnyNode] = [ir.Input(id="p.x", port=ir.Port("x", _value(width)))]
    stages = {name: stage(name, len(reads), width, backend) for name, reads in edges.items()}
    for name, reads in edges.items():
        args = tuple((f"x{i}", ir.Ref(f"p.{r}", "x" if r == "x" else "y")) for i, r in enumerate(reads))
        nodes.append(ir.Call(id=f"p.{name}", stage=name, binding="rows", args=args, results=(("y", _value(width)),)))
    last = list(edges)[-1]
    out = ir.Port("out", _value(width))
    nodes.append(ir.Output(id="p.return.out", port=out, value=ir.Ref(f"p.{last}", "y")))
    graph = ir.Graph.of("p", ir.Signature((ir.Port("x", _value(width)),), (out,)), nodes)
    found = {
        name: {k: ir.SettingValue(v, "benchmark") for k, v in keys.items()} for name, keys in (settings or {}).items()
    }
    return ir.Program("benchmark", stages, {"p": graph}, {}, ir.Schedule("benchmark", stages=found))


def chain(length: int) -> dict[str, tuple[str, ...]]:
    return {f"s{i}": (f"s{i - 1}" if i else "x",) for i in range(length)}


DIAMOND: dict[str, tuple[str, ...]] = {"a": ("x",), "b": ("a",), "c": ("a",), "d": ("b", "c")}


def engine(made: ir.Program, functions: dict[str, Work] | None = None) -> Engine:
    """A started engine; with functions its stages are those."""
    if functions is not None:
        backends.register("numpy", lambda: Numpy(functions))
    running = Engine(build(made, HARDWARE))
    running.start()
    return running


def matmul(size: int, seconds: float) -> Work:
    """rows -> rows, by as many products with one square matrix as take about `seconds` for 32 rows.

    A product is timed by the CPU time of this thread, the least of several: other processes do not make it longer."""
    rng = np.random.default_rng(0)
    matrix = np.linalg.qr(rng.standard_normal((size, size)))[0].astype(np.float32)
    x = rng.standard_normal((32, size)).astype(np.float32)
    times = []
    for _ in range(10):
        start = time.thread_time()
        for _ in range(100):
            x = x @ matrix
        times.append((time.thread_time() - start) / 100)
    repeat = max(1, round(seconds / min(times)))

    def work(x: Any) -> Any:
        for _ in range(repeat):
            x = x @ matrix
        return x

    return work


def one_product(seconds: float) -> Work:
    """rows -> rows, beside one matrix product of about `seconds`: a single call that lets go of the interpreter."""
    rng = np.random.default_rng(0)

    def timed(n: int) -> tuple[float, Any]:
        matrix = rng.standard_normal((n, n)).astype(np.float32)
        matrix @ matrix
        start = time.perf_counter()
        for _ in range(3):
            matrix @ matrix
        return (time.perf_counter() - start) / 3, matrix

    size = 256
    for _ in range(4):
        took, matrix = timed(size)
        size = max(64, int(size * (seconds / took) ** (1 / 3)))
    matrix = timed(size)[1]

    def work(x: Any) -> Any:
        return x + (matrix @ matrix)[0, 0]

    return work


def spin(seconds: float) -> Callable[[], None]:
    """Python code that takes about `seconds` and never lets go of the interpreter."""

    def loop(n: int) -> int:
        total = 0
        for i in range(n):
            total += i & 3
        return total

    start = time.perf_counter()
    loop(100_000)
    count = int(100_000 * seconds / (time.perf_counter() - start))
    return lambda: void(loop(count))


def void(_: Any) -> None:
    return None
