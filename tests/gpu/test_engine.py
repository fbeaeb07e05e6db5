"""The engine on a GPU: answers equal the host's, nothing is copied on the way, and what goes wrong has a clear end.

What can be is run on the simulator too, so that the tests themselves are known to work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.device.sim import Simulation, use
from benchmarks.gpu import by_hand, compare, works
from executor.errors import LoadError, StageFailed

from .random_works import check
from .stages import answer, rows, running

GPU = pytest.mark.gpu
ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.host  # devices are chosen here

WORKS = [works.chain(8), works.diamond(2), works.diamond(8), works.ensemble()]


@pytest.fixture(params=["sim", pytest.param("cuda", marks=GPU)])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of device 0."""
    if request.param == "cuda":
        request.getfixturevalue("torch")
        yield "cuda"
        return
    with use(Simulation(0)) as simulation:
        yield "sim"
        simulation.check()


def library(kind: str) -> str:
    return "torch" if kind == "cuda" else "numpy"


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_programs(work: works.Work, count: int, kind: str) -> None:
    """In every mode and in the serial one, bit by bit; without a byte copied between stages, by counter and pointer."""
    found = compare.checked(work, count, f"{kind}:0", library(kind))
    assert [told.copied for told in found.counters.values()] == [0, 0, 0]
    assert found.moved == 0


@GPU
@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_the_ways_by_hand(work: works.Work, torch: Any) -> None:
    x = work.rows(4)
    expected = work.answer(work.stages("numpy", "cpu"), x)
    for way in by_hand.WAYS.values():
        assert by_hand.agree(way(work, x, "cuda:0").ask(), expected), way.__name__


@pytest.mark.parametrize("first", range(0, 100, 20))
def test_random_programs(first: int, kind: str) -> None:
    for seed in range(first, first + 20):
        try:
            check(seed, f"{kind}:0", library(kind))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


TOO_MUCH = """
    def hungry(*, x):
        if len(x) == 7:
            {large}
        return x + 1
"""
LARGE = {"sim": "raise MemoryError('32 TiB are wanted')", "cuda": "return x.new_empty((1 << 43,))"}


def test_a_batch_that_wants_too_much_memory_fails_alone(kind: str, tmp_path: Path) -> None:
    code = TOO_MUCH.format(large=LARGE[kind])
    with running(tmp_path, code, "hungry", on=kind, arrays=library(kind)) as engine:
        assert (answer(engine, rows(2)) == 2).all()
        with pytest.raises(StageFailed, match="MemoryError"):
            answer(engine, rows(7))
        assert (answer(engine, rows(3)) == 2).all()
        assert engine.state == "ready"


ADDS = """
    def one(*, x):
        return x + 1

    def two(*, x):
        return x * 2
"""


def test_a_stage_that_is_kept_to_some_multiprocessors_gives_the_same(kind: str, tmp_path: Path) -> None:
    """Beside one that is not, and reads what it makes."""
    profile = "  one { sms = 16, instances = 2 }"
    with running(tmp_path, ADDS, "one", "two", on=kind, arrays=library(kind), profile=profile) as engine:
        jobs = [engine.submit("p", {"x": rows(3, i)}) for i in range(40)]
        for i, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(60)["out"], rows(3, 2 * (i + 1)))


# ---- what only a GPU has

SEEN = r"""
    import cupy
    import torch

    SEEN = cupy.RawKernel(
        'extern "C" __global__ void seen(int* at) {'
        '  unsigned here; asm volatile("mov.u32 %0, %%smid;" : "=r"(here)); at[here] = 1; }',
        "seen",
    )

    def spread(*, x):
        at = cupy.zeros(1024, "i4")
        SEEN((1 << 14,), (128,), (at,))
        return torch.full_like(x, int(at.sum()))
"""


@GPU
@pytest.mark.parametrize("sms", [8, 16])
def test_work_is_on_no_other_multiprocessors(sms: int, torch: Any, tmp_path: Path) -> None:
    """Each block of a kernel notes which one it runs on. Sizes are such that no GPU rounds them up."""
    with running(tmp_path, SEEN, "spread") as engine:
        assert answer(engine, rows(1))[0, 0] > sms
    with running(tmp_path, SEEN, "spread", profile=f"  spread {{ sms = {sms} }}") as engine:
        assert 0 < answer(engine, rows(1))[0, 0] <= sms


@GPU
def test_more_multiprocessors_than_there_are(torch: Any, tmp_path: Path) -> None:
    there = torch.cuda.get_device_properties(0).multi_processor_count
    asked = running(tmp_path, SEEN, "spread", profile=f"  spread {{ sms = {there + 1} }}")
    with pytest.raises(LoadError, match=rf"spread.*cuda:0 has {there} multiprocessors"), asked:
        pass


AWAY = """
    def away(*, x):
        return x.cpu()
"""
CHANGED = """
    import torch

    def changed(*, x):
        if len(x) == 7:
            torch.cuda.set_stream(torch.cuda.Stream())
        return x + 1
"""


@GPU
def test_a_tensor_of_the_host_is_refused(torch: Any, tmp_path: Path) -> None:
    with running(tmp_path, AWAY, "away") as engine, pytest.raises(StageFailed) as caught:
        answer(engine, rows(2))
    assert "on cuda:0 is expected, found a tensor on cpu" in str(caught.value)


@GPU
def test_a_stream_that_is_left_current_is_told_and_set_back(torch: Any, tmp_path: Path) -> None:
    with running(tmp_path, CHANGED, "changed") as engine:
        assert (answer(engine, rows(2)) == 2).all()
        with pytest.raises(StageFailed, match=r"stage `changed` left .* current"):
            answer(engine, rows(7))
        assert (answer(engine, rows(3)) == 2).all()


@GPU
def test_work_in_other_streams_is_ordered_by_events(torch: Any, tmp_path: Path) -> None:
    """A slow stage on one branch of a diamond: who reads it on another stream waits for it."""
    code = """
        import torch

        def slow(*, x):
            torch.cuda._sleep(50_000_000)
            return x + 1

        def quick(*, x):
            return x * 2
    """
    with running(tmp_path, code, "slow", "quick") as engine:
        jobs = [engine.submit("p", {"x": rows(2, i)}) for i in range(6)]
        for i, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(60)["out"], rows(2, 2 * (i + 1)))


LOST = """
    import sys
    from pathlib import Path

    import torch

    from executor.errors import RequestError
    from tests.gpu.stages import answer, rows, running

    CODE = '''
    import cupy

    def wild(*, x):
        if len(x) == 7:
            memory = cupy.cuda.UnownedMemory(1 << 12, 1 << 22, None)
            cupy.ndarray((1 << 20,), "f", cupy.cuda.MemoryPointer(memory, 0))[...] += 1
        return x + 1
    '''
    with running(Path(sys.argv[1]), CODE, "wild") as engine:
        assert (answer(engine, rows(2)) == 2).all()
        for count in (7, 2):
            try:
                answer(engine, rows(count))
            except RequestError as error:
                print(type(error).__name__, error)
        print("state", engine.state)
"""


@GPU
def test_an_illegal_address_ends_in_an_engine_that_is_lost(torch: Any, tmp_path: Path) -> None:
    """In a process of its own, since nothing can use the device there afterwards; the engine still stops."""
    import textwrap

    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", textwrap.dedent(LOST), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environ, timeout=150)
    assert "state lost" in done.stdout, done.stdout + done.stderr
    assert "cuda:0 is lost: illegal address" in done.stdout
    assert done.returncode == 0, done.stderr
