"""A server's certificate, and whose certificates its clients need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form; with `clients` only callers with a certificate of that authority come in."""

    certificate: Path
    key: Path
    clients: Path | None = None
