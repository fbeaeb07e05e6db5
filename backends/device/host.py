"""The host as a device: numpy arrays, and everything has happened when a call returns."""

from __future__ import annotations


class HostDevice:
    """Main memory and the calling thread."""

    name = "cpu"
    is_host = True
