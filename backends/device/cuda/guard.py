"""A stage that leaves the thread's current device or stream changed is told so, by name."""

from __future__ import annotations

from typing import Any

from backends.device.driver import CurrentChanged

from .streams import CudaStream, changes, make_current


def check_current(cupy: Any, stream: CudaStream, stage: str) -> None:
    """CurrentChanged if device or stream are not what the stage was called with; they are again, behind this. Called
    inside of `driver.current(stream)`, after the stage's code."""
    found = changes(cupy, stream)
    if not found:
        return
    make_current(cupy, stream)
    raise CurrentChanged(
        f"stage `{stage}` left {found} current; change it with `with` (`cupy.cuda.Device`, `cupy.cuda.Stream`,"
        " `torch.cuda.device`, `torch.cuda.stream`), which sets it back"
    )
