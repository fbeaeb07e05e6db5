"""Addresses that several processes listen at: held by the parent, so that their number is known and stays theirs.

A socket that is bound and does not listen takes part in no connection; it keeps the port while a frontend is started
again, and others of this user from slipping in where nobody listens.
"""

from __future__ import annotations

import socket

from serving.server import BindError


class Port:
    """One address. As a listener it only says where the frontends are."""

    def __init__(self, name: str, address: str, *, shared: bool = False) -> None:
        """`shared`: other servers may listen there as well."""
        self.name = name
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._shared = shared
        self._socket: socket.socket | None = None

    @property
    def address(self) -> str:
        return f"{self._host}:{self._port}"

    @property
    def port(self) -> int:
        """Its number, once it was started."""
        return self._port

    async def start(self) -> None:
        """Take the address. BindError if it is taken or none."""
        try:
            # Reuse lets in whoever else of this user reuses it, another server of ours as well: ask first without.
            if self._port and not self._shared:
                self._bound(reuse=False).close()
            self._socket = self._bound(reuse=True)
        except (OSError, OverflowError) as error:
            raise BindError(f"{self.name} can not listen at {self.address}: {error}") from None
        self._port = int(self._socket.getsockname()[1])

    def _bound(self, *, reuse: bool) -> socket.socket:
        host = self._host.strip("[]")
        family, kind, _, _, place = socket.getaddrinfo(host or None, self._port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind(place)
        except BaseException:
            made.close()
            raise
        return made

    async def stop(self, grace: float) -> None:
        """Give the address back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
