"""What the compiler is told by this package: the options of a command or call, and which backends are installed."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline_dsl.check import Options
from pipeline_dsl.plan import DeviceOverride, Hardware


def options(
    profile: str | None,
    params: Mapping[str, str],
    *,
    hardware: Hardware | None = None,
    device: DeviceOverride = "",
    serial: bool = False,
) -> Options:
    """Options for this process. `hardware`: the machine whose devices all profiles must find; None: any machine.
    `device`: where stages are instead of what profiles say. `serial`: one stream on each device."""
    return Options(profile, params, hardware=hardware, backends=_installed, device=device, serial=serial)


def _installed() -> Collection[str]:
    """Names of all backends, those of other packages and registered ones included."""
    from backends import names

    return names()
