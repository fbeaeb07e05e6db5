"""Names of devices."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from backends.base import BackendError
from backends.device import HostDevice, device, sim


def test_the_host_is_a_device():
    assert isinstance(device("cpu"), HostDevice)
    assert device("cpu").is_host
    assert device("cpu") is device("cpu")


def test_another_name_is_refused():
    with pytest.raises(BackendError, match="device `tpu:0` is unknown") as caught:
        device("tpu:0")
    assert "cuda(0)" in caught.value.hint


def test_threads_that_ask_at_once_get_one_device(monkeypatch):
    """Instances load side by side: with two objects for one device nobody would know all of its work."""
    both = threading.Barrier(2, timeout=0.2)
    made = sim.driver

    def slow(index):
        with suppress(threading.BrokenBarrierError):  # the other thread waits for this one
            both.wait()
        return made(index)

    monkeypatch.setattr(sim, "driver", slow)
    with sim.use(sim.Simulation()), ThreadPoolExecutor(2) as pool:
        first, second = pool.map(device, ["sim:0"] * 2)
    assert first is second
