"""How a server is set: one frozen value, made from the command line or by a Python program."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
TRACE_HEADERS = "traceparent|tracestate"
"""What a trace comes in with."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What holds for all protocols."""

    id: str = "pipectl"
    """The server's name in its metadata."""
    version: str = ""
    compat: bool = False
    """Codes, names and wording of a Triton server where clients or dashboards depend on them."""
    model_control: bool = False
    """Clients may load and unload pipelines."""
    shared_memory: bool = False
    """Clients may register regions of shared memory."""
    max_message: int = 64 * MIB
    """Bytes of a request."""
    strict_readiness: bool = True
    """Ready only when every pipeline is."""
    exit_on_error: bool = True
    """A pipeline that does not load keeps the server from starting."""
    header_pattern: str = ""
    """Headers whose lower-case names match wholly are forwarded to the pipeline."""
    telemetry: bool = False
    """Requests are traced for OpenTelemetry; headers of traces are forwarded."""
    trace_folder: Path | None = None
    """Where traces may be written; None: nowhere."""
    exit_timeout: float = 30.0
    """Seconds that requests get to end after the first signal."""
    drain_delay: float = 5.0
    """Seconds between not being ready and refusing requests, for balancers to notice."""
    retry_after: float = 1.0
    """Seconds after which a refused caller may try again."""
    stream_window: int = 64
    """Requests of one stream under way at a time, and responses that may wait for its reader."""

    def forwarded(self) -> re.Pattern[str] | None:
        """Matches the headers to forward; None: none."""
        patterns = [p for p in (self.header_pattern, TRACE_HEADERS if self.telemetry else "") if p]
        return re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE) if patterns else None
