"""The figures of the executor on the host, each against a floor measured beside it.

Every function gives a `Figure`: what was measured, its floor if it has one, and the budget of docs/architecture.md.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from backends.base import Batch
from executor import Engine, Response

from .programs import DIAMOND, chain, engine, matmul, one_product, program, spin

WIDTH = 256


@dataclass(frozen=True)
class Figure:
    """One measured figure. `details` holds what it was made of."""

    name: str
    value: float
    budget: float
    at_least: bool = False
    unit: str = ""
    details: dict[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        return self.value >= self.budget if self.at_least else self.value <= self.budget


def one_row(width: int = WIDTH) -> Any:
    return np.ones((1, width), np.float32)


def per_node_us(response: Response) -> float:
    """From the end of the second node to the end of the last, for each node between, in microseconds.

    The first node forms the batch; what that costs is no part of running on."""
    runs = response.executions
    return (runs[-1].end_ns - runs[1].end_ns) / (len(runs) - 2) / 1e3


# ---- what the executor itself costs


def node_run_on_us() -> Figure:
    """A null stage that follows another on the same thread, for a cohort of 1 and of 32 requests."""
    single = engine(program(chain(40), 4, "null"))
    costs = [per_node_us(single.submit("p", {"x": one_row(4)}).result()) for _ in range(300)]
    floor = direct_us(single)
    single.stop()
    first = {"s0": {"batching.max": 32, "batching.delay": 10**9}}
    many = engine(program(chain(40), 4, "null", first))
    wide = []
    for _ in range(80):
        jobs = [many.submit("p", {"x": one_row(4)}) for _ in range(32)]
        wide.append(per_node_us(jobs[-1].result()))
    many.stop()
    one, thirty_two = statistics.median(costs[50:]), statistics.median(wide[10:])
    details = {"cohort_of_1": one, "cohort_of_32": thirty_two, "direct_call_us": floor}
    return Figure("node_run_on_us", max(one, thirty_two), 6.0, unit="us", details=details)


def direct_us(running: Engine) -> float:
    """The floor: the same null instances called in a loop by hand, their results checked; microseconds a call."""
    slots = [stage.slots[0] for stage in running.stages]
    x = one_row(4)
    times = []
    for _ in range(300):
        start = time.perf_counter_ns()
        value = x
        for slot in slots:
            batch = Batch((value,), 1)
            value = slot.check(batch, slot.instance.execute(batch)).outputs[0]
        times.append((time.perf_counter_ns() - start) / len(slots) / 1e3)
    return statistics.median(times)


def node_hop_ratio() -> Figure:
    """A node behind a queue on another thread, against a bare SimpleQueue hop."""
    own = {f"s{i}": {"affine": True} for i in range(6)}
    running = engine(program(chain(6), 4, "null", own))
    hops, floors = [], []
    for _ in range(8):
        hops += [per_node_us(running.submit("p", {"x": one_row(4)}).result()) for _ in range(60)]
        floors += bare_hops(60)
    running.stop()
    hop, floor = statistics.median(hops), statistics.median(floors)
    return Figure("node_hop_ratio", hop / floor, 1.3, details={"hop_us": hop, "floor_us": floor})


def bare_hops(count: int) -> list[float]:
    """Microseconds from put to get on another thread, along six threads in a row."""
    queues: list[SimpleQueue[Any]] = [SimpleQueue() for _ in range(7)]

    def relay(i: int) -> None:
        while (item := queues[i].get()) is not None:
            queues[i + 1].put(item)

    threads = [threading.Thread(target=relay, args=(i,), daemon=True) for i in range(6)]
    for thread in threads:
        thread.start()
    times = []
    for _ in range(count):
        start = time.perf_counter_ns()
        queues[0].put(start)
        queues[6].get()
        times.append((time.perf_counter_ns() - start) / 7e3)
    for queue in queues[:6]:
        queue.put(None)
    for thread in threads:
        thread.join()
    return times


def request_cpu_us() -> Figure:
    """One request in and out on the asyncio face, a null chain of 4, 32 waiting: CPU time of the whole process."""
    running = engine(program(chain(4), 4, "null"))
    x = one_row(4)

    async def waves(count: int) -> float:
        start = time.process_time()
        for _ in range(count):
            await asyncio.gather(*[running.asubmit("p", {"x": x}) for _ in range(32)])
        return (time.process_time() - start) / count / 32 * 1e6

    asyncio.run(waves(50))
    costs = [asyncio.run(waves(60)) for _ in range(9)]
    bare = [asyncio.run(bare_waves(60)) for _ in range(5)]
    running.stop()
    details = {"worst": max(costs), "bare_future_and_task": statistics.median(bare)}
    return Figure("request_cpu_us", statistics.median(costs), 15.0, unit="us", details=details)


async def bare_waves(count: int) -> float:
    """The floor: a task and a future answered from another thread, one wake-up for all 32."""
    loop = asyncio.get_running_loop()
    queue: SimpleQueue[Any] = SimpleQueue()

    def answer() -> None:
        while (futures := queue.get()) is not None:
            loop.call_soon_threadsafe(lambda fs=futures: [f.set_result(1) for f in fs])

    thread = threading.Thread(target=answer)
    thread.start()
    start = time.process_time()
    for _ in range(count):
        futures = [loop.create_future() for _ in range(32)]

        async def wait(future: Any) -> Any:
            return await future

        tasks = [asyncio.create_task(wait(f)) for f in futures]
        queue.put(futures)
        await asyncio.gather(*tasks)
    cost = (time.process_time() - start) / count / 32 * 1e6
    queue.put(None)
    thread.join()
    return cost


# ---- against hand-written loops


def alternate(left: Callable[[], float], right: Callable[[], float], times: int = 7) -> tuple[float, float]:
    """Medians of two measurements taken in turn."""
    pairs = [(left(), right()) for _ in range(times)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def by_turns(left: Callable[[], float], right: Callable[[], float], times: int = 15) -> tuple[float, float, float]:
    """The median of left over right, both measured one directly after the other, and the medians of each.

    What else the machine does meets both of a pair, and spoils some of the pairs only."""
    pairs = [(left(), right()) for _ in range(times)]
    ratio = statistics.median(a / b for a, b in pairs)
    return ratio, statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def chain_efficiency() -> Figure:
    """Batches of 32 rows through four stages of 100 us, eight in flight, against calling the functions in a loop."""
    work = one_product(150e-6)
    running = engine(program(chain(4), WIDTH, "numpy"), {f"s{i}": work for i in range(4)})
    x = np.ones((32, WIDTH), np.float32)

    def loop() -> float:
        start = time.perf_counter()
        for _ in range(200):
            work(work(work(work(x))))
        return 200 / (time.perf_counter() - start)

    ours, floor = alternate(lambda: keep_busy(running, x, 200, 8), loop)
    running.stop()
    return Figure("chain_efficiency", ours / floor, 0.97, True, details={"batches_per_s": ours, "loop_per_s": floor})


def keep_busy(running: Engine, x: Any, count: int, inflight: int) -> float:
    """Requests per second with so many in flight."""
    gate = threading.Semaphore(inflight)
    start = time.perf_counter()
    jobs = []
    for _ in range(count):
        gate.acquire()
        job = running.submit("p", {"x": x})
        job.add_done_callback(lambda _: gate.release())
        jobs.append(job)
    for job in jobs:
        job.result()
    return count / (time.perf_counter() - start)


def concurrent_efficiency() -> Figure:
    """64 clients with single rows, four stages of 300 us a row together, against a hand-written batch-32 loop."""
    work = per_row(75e-6)
    running = engine(
        program(chain(4), WIDTH, "numpy", {f"s{i}": {"batching.max": 32} for i in range(4)}),
        {f"s{i}": work for i in range(4)},
    )

    def loop() -> float:
        x = np.ones((32, WIDTH), np.float32)
        start = time.perf_counter()
        for _ in range(20):
            work(work(work(work(x))))
        return 640 / (time.perf_counter() - start)

    async def client(count: int) -> None:
        for _ in range(count):
            await running.asubmit("p", {"x": one_row()})

    async def clients() -> float:
        start = time.perf_counter()
        await asyncio.gather(*[client(20) for _ in range(64)])
        return 64 * 20 / (time.perf_counter() - start)

    ours, floor = alternate(lambda: asyncio.run(clients()), loop, 5)
    running.stop()
    details = {"rows_per_s": ours, "loop_per_s": floor}
    return Figure("concurrent_efficiency", ours / floor, 0.90, True, details=details)


def per_row(seconds: float) -> Any:
    """rows -> rows at a constant cost a row: small products, as many as there are rows."""
    step = matmul(WIDTH, seconds)

    def work(x: Any) -> Any:
        block = np.zeros((32, x.shape[1]), np.float32)
        block[: len(x)] = x
        for _ in range(len(x)):
            block = step(block)
        return block[: len(x)].copy()

    return work


# ---- branches


def diamond_ratio() -> Figure:
    """Two branches of 2 ms on two cores, against a persistent pool of two threads written by hand."""
    ours, floor, _ = _diamond(busy=False)
    return Figure("diamond_ratio", ours / floor, 1.10, details={"ms": ours * 1e3, "pool_ms": floor * 1e3})


def diamond_busy_ratio() -> Figure:
    """The same beside one thread that is busy in Python, against the idle figure."""
    idle, _, busy = _diamond(busy=True)
    return Figure("diamond_busy_ratio", busy / idle, 2.5, details={"idle_ms": idle * 1e3, "busy_ms": busy * 1e3})


def _diamond(busy: bool) -> tuple[float, float, float]:
    work = one_product(2e-3)
    functions = {"a": lambda x: x, "b": work, "c": work, "d": lambda b, c: b + c}
    running = engine(program(DIAMOND, WIDTH, "numpy"), functions)
    x = np.ones((32, WIDTH), np.float32)

    def latency() -> float:
        times = []
        for _ in range(40):
            start = time.perf_counter()
            running.submit("p", {"x": x}).result()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    with ThreadPoolExecutor(2) as pool:

        def by_hand() -> float:
            times = []
            for _ in range(40):
                start = time.perf_counter()
                b, c = pool.submit(work, x), pool.submit(work, x)
                b.result() + c.result()
                times.append(time.perf_counter() - start)
            return statistics.median(times)

        latency(), by_hand()
        ours, floor = alternate(latency, by_hand, 5)
    loaded = _beside_python(latency) if busy else 0.0
    running.stop()
    return ours, floor, loaded


def _beside_python(measure: Callable[[], float]) -> float:
    stop = threading.Event()
    burn = spin(1e-3)

    def run() -> None:
        while not stop.is_set():
            burn()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        return measure()
    finally:
        stop.set()
        thread.join()


def copied_bytes() -> Figure:
    """Bytes copied between stages that keep their batch, by counter; and results that do not share memory."""
    running = engine(program(chain(4), WIDTH, "null"))
    x = np.ones((32, WIDTH), np.float32)
    outs = [running.submit("p", {"x": x}).result()["out"] for _ in range(50)]
    counted = sum(sum(n.copied_bytes.values()) for n in running.stats().nodes)
    moved = sum(not np.shares_memory(o, x) for o in outs)
    running.stop()
    return Figure("copied_bytes", counted + moved * x.nbytes, 0.0, unit="B")


# ---- compile


def compile_ms() -> Figure:
    """Parse, check and plan 200 lines, grammar cached, imports not counted."""
    text = module_of(40)
    _compile(text)
    times = [_compile(text) for _ in range(15)]
    value = statistics.median(times) * 1e3
    return Figure("compile_ms", value, 150.0, unit="ms", details={"lines": float(text.count("\n"))})


def compile_growth() -> Figure:
    """Time at 2,000 stages over ten times the time at 200."""
    small, large = module_of(200), module_of(2000)
    _compile(small)
    few = statistics.median(_compile(small) for _ in range(5))
    many = statistics.median(_compile(large) for _ in range(3))
    details = {"ms_at_200": few * 1e3, "ms_at_2000": many * 1e3}
    return Figure("compile_growth", many / few / 10, 1.5, details=details)


def help_ms() -> Figure:
    """`pipectl --help` in a process of its own, from start to end."""
    return Figure("help_ms", _command_ms("--help"), 300.0, unit="ms")


def check_ms() -> Figure:
    """`pipectl check` of 200 lines, the same; its imports for comparison."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "module.pipe")
        path.write_text(module_of(40))
        value = _command_ms("check", str(path))
    return Figure("check_ms", value, 600.0, unit="ms", details={"help_ms": _command_ms("--help")})


def _command_ms(*arguments: str) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipectl", *arguments], stdout=subprocess.DEVNULL, check=True)
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def _compile(text: str) -> float:
    from pipeline_dsl.compile import compile_text

    start = time.perf_counter()
    compile_text(text)
    return time.perf_counter() - start


def module_of(stages: int) -> str:
    """A module of so many stages in one pipeline: chains of ten that branch off and meet again, five lines each."""
    lines = ["pipe 1", ""]
    for i in range(stages):
        second = ", z: f32[*, 8]" if i % 10 == 9 else ""
        lines += [f"## Stage number {i}.", f"stage s{i}(x: f32[*, 8]{second}) -> (y: f32[*, 8])", "  using null()", ""]
    lines += ["pipeline p(x: f32[B, 8]) -> (out: f32[B, 8]) {"]
    for i in range(stages):
        before = f"v{i - 1}" if i else "x"
        far = f", v{i - 9}" if i % 10 == 9 else ""
        lines.append(f"  v{i} = s{i}({before}{far})")
    lines += [f"  return out = v{stages - 1}", "}", ""]
    return "\n".join(lines)


FIGURES: tuple[Callable[[], Figure], ...] = (
    node_run_on_us,
    node_hop_ratio,
    request_cpu_us,
    chain_efficiency,
    concurrent_efficiency,
    diamond_ratio,
    diamond_busy_ratio,
    copied_bytes,
    compile_ms,
    compile_growth,
    help_ms,
    check_ms,
)
