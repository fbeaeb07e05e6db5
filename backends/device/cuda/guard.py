"""A stage that leaves the thread's current device or stream changed is told so, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.device.driver import CurrentChanged

from .streams import CudaStream, changes, make_current

if TYPE_CHECKING:
    from .driver import CudaDriver


def check_current(driver: CudaDriver, stream: CudaStream, stage: str) -> None:
    """CurrentChanged if device or stream are not what the stage was called with; they are again, behind this. Called
    inside of `driver.current(stream)`, after the stage's code."""
    found = changes(driver.xp, stream)
    if not found:
        return
    make_current(driver.xp, stream)
    raise CurrentChanged(
        f"stage `{stage}` left {found} current; change it with `with` (`cupy.cuda.Device`, `cupy.cuda.Stream`,"
        " `torch.cuda.device`, `torch.cuda.stream`), which sets it back"
    )
