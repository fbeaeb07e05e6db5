"""Names of devices."""

import pytest

from backends.base import BackendError
from backends.device import HostDevice, device


def test_the_host_is_a_device():
    assert isinstance(device("cpu"), HostDevice)
    assert device("cpu").is_host
    assert device("cpu") is device("cpu")


def test_another_name_is_refused():
    with pytest.raises(BackendError, match="device `tpu:0` is unknown") as caught:
        device("tpu:0")
    assert "cuda(0)" in caught.value.hint
