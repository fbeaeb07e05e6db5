"""How the HTTP port is set."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.tls import Tls

from .limits import HttpLimits


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """How the HTTP port is set."""

    host: str = "127.0.0.1"
    port: int = 8000
    tls: Tls | None = None
    limits: HttpLimits = field(default_factory=HttpLimits)
    backlog: int = 2048
    reuse_port: bool = False
