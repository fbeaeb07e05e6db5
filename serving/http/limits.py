"""What one client may cost the server before its request means anything."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 2**10
MIB = 2**20


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Each is checked while bytes come in; past it the answer is an error and the connection ends."""

    body: int = 64 * MIB
    """Bytes of a request's body, before and after it is decompressed."""
    chunks: int = 65_536
    """Chunks of a body without a length."""
    headers: int = 100
    """Header lines."""
    header_bytes: int = 32 * KIB
    """Bytes of the request line and all headers."""
    header_seconds: float = 10.0
    """From a request's first byte to the end of its headers."""
    body_seconds: float = 30.0
    """Without a byte of a body that is not complete."""
    keep_alive_seconds: float = 75.0
    """Between requests."""
    connections: int = 4096
    """At a time; further ones are answered 503."""
