"""`python -m benchmarks.gpu`, on the simulator and as far as it goes without a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends.device.sim import Simulation, use
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import by_hand, checks, compare, engines, facts, layers, works
from benchmarks.gpu.schedule import survey

pytestmark = pytest.mark.host  # it chooses its devices itself

ROOT = Path(__file__).parents[2]
SMALL = ((works.chain(3), (2,)), (works.diamond(2), (1,)))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *arguments])
    with use(Simulation(0)):
        return command.main()


def test_everything_on_the_simulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setattr(command, "all_works", lambda: SMALL)
    assert run(monkeypatch, "--device", "sim", "--json", str(tmp_path / "found.json")) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert {state for _, state, _ in found["checks"]} == {"ok"}
    assert [(w["work"], w["rows"], w["nodes"], w["edges"]) for w in found["works"]] == [
        ("chain of 3", 2, 3, 2),
        ("diamond of 2", 1, 4, 4),
    ]
    for work in found["works"]:
        assert work["moved"] == 0
        assert set(work["counters"]) == {"apart", "together", "graph"}
        assert all(told["copied"] == 0 and told["events"] >= 2 for told in work["counters"].values())
        spans = work["spans"]
        assert 0 < spans["critical_path"] <= spans["serial"]
        assert spans["critical_path"] <= spans["makespan"] * (1 + 1e-9)
        assert work["seconds"]["one stream"] < work["seconds"]["stepwise"]
    assert "answers agree" in capsys.readouterr().out


def test_one_stage_that_computes_something_else_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    """Its program is a line that says FAIL, and the other one is measured."""
    monkeypatch.setattr(command, "all_works", lambda: SMALL)
    stages = works.Work.stages

    def other(work: works.Work, library: str, on: str) -> dict[str, Any]:
        made: dict[str, Any] = dict(stages(work, library, on))
        if work.name == "chain of 3":
            made["s1"] = lambda x0: x0 + 1
        return made

    monkeypatch.setattr(works.Work, "stages", other)
    assert run(monkeypatch, "--device", "sim", "--json", str(tmp_path / "found.json")) == 1
    found = json.loads((tmp_path / "found.json").read_text())
    (failed,) = [line for line in found["checks"] if line[1] == "FAIL"]
    assert failed[0] == "chain of 3, 2 rows"
    assert "Differs: chain of 3, 2 rows, serial: answers differ from the host's by up to" in failed[2]
    assert [work["work"] for work in found["works"]] == ["diamond of 2"]
    assert "Differs" in capsys.readouterr().err


def test_bytes_and_moves_are_failures() -> None:
    told = engines.Told(1, 1, copied=64)
    result = compare.Result("w", 1, 2, 1, counters={"apart": told}, moved=1)
    line = command.Run("sim:0", cuda=False, quick=True)._bytes("w", result)
    assert line == ("w", "FAIL", "64 bytes were copied between stages, 1 values were moved")


def test_a_value_that_was_copied_on_the_way_counts_as_moved() -> None:
    work = works.chain(3)
    assert engines.moved(work, {"s0": ([1], [2]), "s1": ([2], [3]), "s2": ([3], [4])}) == 0
    assert engines.moved(work, {"s0": ([1], [2]), "s1": ([9], [3]), "s2": ([3], [4])}) == 1


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def none(on: str) -> Any:
        raise command.BackendError("there is no NVIDIA driver")

    monkeypatch.setattr(command, "accelerator", none)
    monkeypatch.setitem(sys.modules, "torch", object())
    assert run(monkeypatch) == command.NO_GPU
    assert "no GPU: there is no NVIDIA driver; `--device sim`" in capsys.readouterr().out


NEEDED = """
import sys

class Others:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        ours = {"backends", "benchmarks", "executor", "grammar", "pipeline_dsl"}
        if top not in sys.stdlib_module_names and top not in ours | {"lark", "networkx", "numpy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Others())
from benchmarks.gpu import __main__ as command, works
command.all_works = lambda: ((works.diamond(2), (1,)),)
sys.argv = ["benchmarks.gpu", "--device", "sim"]
sys.exit(command.main())
"""


def test_lark_networkx_and_numpy_are_all_that_it_needs() -> None:
    done = subprocess.run([sys.executable, "-c", NEEDED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "diamond of 2, 1 rows" in done.stdout


def test_what_random_programs_need() -> None:
    found = survey(12)
    assert found.programs == 12
    assert found.waits > 0 < found.edges
    assert found.events <= found.edges + found.executions + found.landings
    assert 0 < found.peak_bytes <= found.allocated_bytes
    assert "12 programs" in found.table()


# ---- programs and layers


@pytest.mark.torch
@pytest.mark.parametrize("work", [work for work, _ in works.all_works()], ids=lambda work: work.name)
def test_torch_and_numpy_compute_the_same(work: works.Work) -> None:
    torch = pytest.importorskip("torch")
    x = work.rows(2)
    expected = work.answer(work.stages("numpy", "cpu"), x)
    found = work.answer(work.stages("torch", "cpu"), torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 0.1, "rows that differ give answers that differ"


def test_weights_come_from_the_seed() -> None:
    one, same, other = (layers.weights("small", seed)["w"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_critical_path() -> None:
    seconds = {"a": 1.0, "b0": 5.0, "b1": 2.0, "z": 1.0}
    assert works.diamond(2).critical_path(seconds) == 7.0
    assert works.chain(3).critical_path({"s0": 1.0, "s1": 1.0, "s2": 1.0}) == 3.0


def test_streams_of_the_graph_written_by_hand() -> None:
    assert by_hand.chains(works.diamond(3).nodes) == {"a": 0, "b0": 0, "b1": 1, "b2": 2, "z": 0}
    ensemble = by_hand.chains(works.ensemble().nodes)
    assert ensemble["tower"] != ensemble["tokens"]
    assert ensemble["encode1"] == ensemble["encode2"] == ensemble["pool"] == ensemble["tokens"]


# ---- what is written for a GPU, with a torch that has none


class FakeEvent:
    def __init__(self, enable_timing: bool = False) -> None:
        self.recorded = 0

    def record(self, stream: Any = None) -> None:
        self.recorded += 1

    def synchronize(self) -> None:
        assert self.recorded, "nobody recorded it"

    def elapsed_time(self, other: FakeEvent) -> float:
        return 2.0


class FakeStream:
    cuda_stream = 1 << 12

    def __init__(self, device: Any = None) -> None:
        self.behind: list[FakeEvent] = []

    def wait_event(self, event: FakeEvent) -> None:
        assert event.recorded, "a stream waits for an event that nobody recorded"
        self.behind.append(event)

    def synchronize(self) -> None:
        """Everything has ended."""


class FakeGraph:
    replays = 0

    def replay(self) -> None:
        self.replays += 1


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """torch whose CUDA names do the work of the host at once."""
    torch = pytest.importorskip("torch")
    empty = torch.empty

    @contextmanager
    def graph(made: Any, stream: Any = None, **_: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **more: empty(*a, **more))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor.clone())
    for name, stand_in in {
        "Event": FakeEvent,
        "Stream": FakeStream,
        "CUDAGraph": FakeGraph,
        "graph": graph,
        "stream": lambda stream: nullcontext(),
        "device": lambda on: nullcontext(),
        "_sleep": lambda cycles: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return torch


@pytest.mark.torch
@pytest.mark.parametrize("work", [works.chain(3), works.diamond(3), works.ensemble()], ids=lambda work: work.name)
def test_the_ways_by_hand_give_the_answers(work: works.Work, without_gpu: Any) -> None:
    x = work.rows(2)
    expected = work.answer(work.stages("numpy", "cpu"), x)
    for way in by_hand.WAYS.values():
        made = way(work, x, "cpu")
        assert by_hand.agree(made.ask(), expected), way.__name__
        found = made.cost(3)
        assert found.latency > 0
        assert found.per_second > 0


@pytest.mark.torch
def test_every_branch_of_the_graph_by_hand_joins(without_gpu: Any) -> None:
    work = works.diamond(3)
    made = by_hand.Captured(work, work.rows(1), "cpu")
    assert len(made.stream.behind) >= len(work.nodes)
    made.ask()
    assert made.graph.replays == 1


@pytest.mark.torch
def test_figures_of_a_device(without_gpu: Any) -> None:
    with use(Simulation(0)):
        place = engines.accelerator("sim:0")
        monkeys = [facts.copy_bandwidth("cpu", 1), facts.launch_cost("cpu"), facts.node_cost(place)]
        monkeys += [facts.event_cost(place), facts.second_stream("cpu")]
        found = {figure.name: figure for figures in monkeys for figure in figures}
    assert found["copy_h2d_pinned"].value == pytest.approx(1 / 1024 / 2e-3 * 5)
    assert found["second_stream_pays_us"].value == float("inf"), "equal times: it never pays"
    assert found["event_and_wait_us"].details.keys() == {"driver_us", "torch_us"}


def test_a_check_that_can_not_be_made_is_skipped() -> None:
    def no_second_gpu(on: str, place: Any) -> str:
        raise checks.Skipped("one GPU")

    with use(Simulation(0)):
        run = command.Run("sim:0", cuda=False, quick=True)
        run.check(no_second_gpu)
        run.check(checks.unordered_work)
    assert [line[:2] for line in run.lines] == [("no_second_gpu", "skip"), ("unordered_work", "ok")]
