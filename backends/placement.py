"""Where an instance runs: on the host, or on an accelerator whose streams order its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline_dsl.plan import StagePlan

from .base import BackendError

if TYPE_CHECKING:
    from .device import Accelerator


def host_only(stage: StagePlan, device: str) -> None:
    """BackendError for a device that is not the host."""
    if device != "cpu":
        raise BackendError(f"stage `{stage.name}`: backend `{stage.backend}` runs on cpu, not on {device}")


def host_or_cuda(stage: StagePlan, name: str) -> Accelerator | None:
    """The GPU of that name, None for the host. BackendError for another kind of device, or a GPU that is not usable."""
    if name == "cpu":
        return None
    if name.partition(":")[0] != "cuda":
        raise BackendError(f"stage `{stage.name}`: backend `{stage.backend}` runs on cpu and cuda, not on {name}")
    from .device import Accelerator, device

    try:
        found = device(name)
    except BackendError as error:
        raise BackendError(f"stage `{stage.name}`: {error}", error.hint) from error
    return found if isinstance(found, Accelerator) else None


@contextmanager
def settled(accelerator: Accelerator | None) -> Iterator[None]:
    """Around work that belongs to no batch (loading, warming up): on a stream of the device, and ended at the end."""
    if accelerator is None:
        yield
        return
    side = accelerator.side
    with side.use():
        yield
    side.launched()  # by libraries that did not say so
    side.synchronize()
