"""Where a server is, and how to get there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
NO_RETRIES = ("grpc.enable_retries", 0)
"""For those who retry themselves."""


def address_of(url: str) -> tuple[str, bool]:
    """HOST:PORT of a URL, and whether it is secured. ValueError for a URL of another kind."""
    scheme, found, address = url.partition("://")
    if not found:
        return url, False
    if scheme not in ("grpc", "grpcs"):
        raise ValueError(f"`{url}`: write HOST:PORT, grpc://HOST:PORT or grpcs://HOST:PORT")
    return address.rstrip("/"), scheme == "grpcs"


@dataclass(frozen=True, slots=True)
class Target:
    """A server."""

    address: str
    secure: bool = False
    root: bytes | None = None
    """Certificates to trust instead of the system's; only with `secure`."""
    token: str = field(default="", repr=False)

    def channel(self, *options: tuple[str, Any], library: Any = grpc) -> Any:
        """A connection, of `grpc` or of `grpc.aio`."""
        given = [*OPTIONS, *options]
        if self.secure or self.root is not None:
            return library.secure_channel(self.address, grpc.ssl_channel_credentials(self.root), given)
        return library.insecure_channel(self.address, given)

    def metadata(self, id: str = "", headers: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
        """What goes with a call."""
        found = [(name.lower(), value) for name, value in (headers or {}).items()]
        if self.token:
            found.append(("authorization", f"Bearer {self.token}"))
        if id:
            found.append(("x-request-id", id))
        return tuple(found)


def target(url: str, token: str = "", root: bytes | None = None) -> Target:
    """The server of a URL. ValueError if it is none."""
    address, secure = address_of(url)
    return Target(address, secure, root, token)
