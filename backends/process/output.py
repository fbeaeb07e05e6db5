"""What a child writes to stdout and stderr, line by line."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable

_log = logging.getLogger(__name__)

TAIL = 20
"""Lines that are kept to be shown when the process dies."""

LONGEST = 1 << 16
"""Bytes of the longest line; a longer one is passed on in pieces."""


class Output:
    """The reading end of the pipe. `tail` holds the last lines."""

    def __init__(self, fd: int, name: str, pass_on: Callable[[str], None]) -> None:
        """`pass_on` is called with each line, the stage's name before it."""
        os.set_blocking(fd, False)
        self.fd = fd
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._name = name
        self._pass_on = pass_on
        self._partial = b""

    def hear(self) -> bool:
        """Read what is there; False at the end."""
        try:
            data = os.read(self.fd, LONGEST)
        except BlockingIOError:
            return True
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > LONGEST or (self._partial and not data):
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            self.tail.append(text)
            try:
                self._pass_on(f"[{self._name}] {text}")
            except Exception:  # a broken listener must not end the thread that watches the process
                _log.exception("a line of stage %s was lost", self._name)
        return bool(data)

    def last_words(self) -> str:
        """The last lines, indented; "" if it wrote nothing."""
        return "\n".join(f"  {line}" for line in self.tail)

    def close(self) -> None:
        os.close(self.fd)
