"""What a server can be asked, whatever the protocol.

Every operation takes the caller first and is guarded by a group of `access`: no route of a protocol can go past it.
Failures are `RequestError`s; what they take and give are plain Python values.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from serving.access import Access
from serving.options import ServerOptions
from serving.repository import Repository
from serving.shared_memory import SharedMemory
from serving.telemetry import Telemetry

from .control import Control
from .health import Health
from .inference import Inference
from .memory import Memory
from .metrics import Metrics
from .models import Models
from .overview import Overview
from .settings import Settings
from .statistics import Statistics


@dataclass(frozen=True, slots=True)
class Operations:
    """All operations of one server, by subject."""

    options: ServerOptions
    access: Access
    repository: Repository
    health: Health
    models: Models
    inference: Inference
    statistics: Statistics
    control: Control
    memory: Memory
    settings: Settings
    metrics: Metrics
    overview: Overview
    telemetry: Telemetry | None
    shared: SharedMemory

    async def close(self) -> None:
        """End everything that was started for them."""
        await self.repository.stop()
        self.shared.close()
        self.settings.close()
        if self.telemetry is not None:
            await asyncio.to_thread(self.telemetry.close)


def operations(
    repository: Repository,
    options: ServerOptions,
    access: Access | None = None,
    telemetry: Telemetry | None = None,
) -> Operations:
    """The operations on a repository."""
    shared = SharedMemory(enabled=options.shared_memory)
    settings = Settings(repository, options)
    return Operations(
        options,
        access or Access(),
        repository,
        Health(repository, options),
        Models(repository, options),
        Inference(repository, options, shared, settings, telemetry),
        Statistics(repository),
        Control(repository, options),
        Memory(shared),
        settings,
        Metrics(repository),
        Overview(repository),
        telemetry,
        shared,
    )
