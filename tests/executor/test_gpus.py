"""Figures of GPUs, from a fake NVML."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from executor.gpus import Gpus, GpuSnapshot, visible


class NVMLError(Exception):
    pass


class Nvml:
    """Two GPUs; the second does not tell its power, and its energy."""

    NVMLError = NVMLError

    def __init__(self, *fails: str) -> None:
        self.fails = fails
        self.asked = 0
        self.energy = 5_000_000

    def __getattr__(self, name: str) -> object:
        if name in self.fails:
            raise AttributeError(name)
        return lambda handle=None: self.answer(name, handle)

    def answer(self, name: str, handle: int | None) -> object:
        self.asked += 1
        answers = {
            "nvmlInit": None,
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetHandleByIndex": handle,
            "nvmlDeviceGetUUID": b"GPU-aa" if handle == 0 else "GPU-bb",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 << 30, used=3 << 30),
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=25, memory=10),
            "nvmlDeviceGetPowerUsage": 120_500,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetTotalEnergyConsumption": self.energy,
        }
        if handle == 1 and ("Power" in name or "Energy" in name):
            raise NVMLError("not supported")
        return answers[name]


def test_what_each_says():
    nvml = Nvml()
    gpus = Gpus(lambda: nvml, seconds=lambda: 0.0, environ={})
    assert gpus.read() == (
        GpuSnapshot("GPU-aa", 0.25, 80 << 30, 3 << 30, 120.5, 700.0, 0.0),
        GpuSnapshot("GPU-bb", 0.25, 80 << 30, 3 << 30),
    )


def test_energy_is_counted_from_the_first_look():
    nvml, now = Nvml(), [0.0]
    gpus = Gpus(lambda: nvml, seconds=lambda: now[0], environ={"CUDA_VISIBLE_DEVICES": "GPU-aa"})
    gpus.read()
    now[0], nvml.energy = 2.0, 5_042_000
    assert [g.energy for g in gpus.read()] == [42.0]


def test_at_most_once_a_second():
    nvml, now = Nvml(), [10.0]
    gpus = Gpus(lambda: nvml, seconds=lambda: now[0], environ={})
    first = gpus.read()
    asked = nvml.asked
    now[0] = 10.9
    assert gpus.read() is first
    assert nvml.asked == asked
    now[0] = 11.0
    assert gpus.read() == first
    assert nvml.asked > asked


def missing() -> object:
    raise ImportError("No module named 'pynvml'")


class NoDriver(Nvml):
    def answer(self, name: str, handle: int | None) -> object:
        self.asked += 1
        raise NVMLError("NVML Shared Library Not Found")


@pytest.mark.parametrize(("library", "text"), [(missing, "No module named 'pynvml'"), (NoDriver, "Library Not Found")])
def test_nothing_to_ask_is_said_once(library, text: str, caplog):
    now = [0.0]
    with caplog.at_level(logging.DEBUG, "pipectl"):
        gpus = Gpus(library, seconds=lambda: now[0], environ={})
        for second in range(5):
            now[0] = second
            assert gpus.read() == ()
    assert [text in line for line in caplog.messages] == [True]


UUIDS = ["GPU-aa11", "GPU-ab22", "GPU-cc33"]


@pytest.mark.parametrize(
    ("setting", "numbers"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("2,0", [2, 0]),
        ("GPU-cc,GPU-aa11", [2, 0]),
        ("1,-1,0", [1]),
        ("1,7,0", [1]),
        ("GPU-a", []),
        ("NoDevFiles", []),
    ],
)
def test_the_gpus_that_a_process_may_use(setting: str | None, numbers: list[int]):
    assert visible(UUIDS, setting) == numbers
