"""What is written of one response goes out together.

uvicorn writes the head and each piece of the body on its own, and uvloop hands each to the system at once: two calls
and two packets for a small answer, which cost more than making it does.
"""

from __future__ import annotations

import asyncio


class Together:
    """The transport that a response is written to. What it holds leaves when the response is whole, and at the latest
    in the loop's next turn, so the parts of a stream do not wait for one another."""

    __slots__ = ("_held", "_later", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._later: asyncio.Handle | None = None

    def write(self, data: bytes) -> None:
        """Keep it, not copied."""
        if not self._held:
            self._later = self._loop.call_soon(self.flush)
        self._held.append(data)

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            held, self._held = self._held, []
            if self._later is not None:
                self._later.cancel()
            if not self._transport.is_closing():  # the client left: nobody reads it
                self._transport.writelines(held)

    def is_closing(self) -> bool:
        """As the transport's own; uvicorn asks before it says 100 Continue."""
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()
