"""The host as a device: everything has happened when a call returns."""

import numpy as np
import pytest

from backends.device import Device, Event, HostDevice, Stream


def test_it_is_a_device():
    device = HostDevice()
    stream = device.stream(high_priority=True)
    assert isinstance(device, Device)
    assert isinstance(stream, Stream)
    assert isinstance(stream.record(), Event)


def test_work_is_done_when_it_is_launched():
    device, done = HostDevice(), []
    stream, other = device.stream(), device.stream()
    with stream.use():
        stream.launch(lambda: done.append(1), reads=(), writes=())
    event = stream.record()
    other.wait(event)
    assert done == [1]
    assert event.ready()
    event.synchronize()
    stream.synchronize()


def test_copies_are_exact():
    device = HostDevice()
    source = np.arange(4, dtype=np.int32)
    target = device.empty((4,), np.int32)
    device.copy(target, source)
    assert target.tolist() == [0, 1, 2, 3]
    assert device.to_host(source) is device.to_device(source) is source
    with pytest.raises(ValueError, match="shape"):
        device.copy(target[:2], source)
    with pytest.raises(TypeError):
        device.copy(device.empty((4,), np.int64), source)
