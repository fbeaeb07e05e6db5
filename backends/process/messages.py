"""What parent and child say to each other, as msgpack.

    parent: Start -> child: Ready | Raised
    parent: Run -> child: Done | Raised, again and again
    parent: Warmup -> child: Ready | Raised
    parent: Stop -> child ends

Each question has one answer, so nothing needs a number. Values travel as `backends/ipc/encoded.py` has them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from backends.ipc.encoded import Encoded
from backends.ipc.segments import Opened, Region


class Fault(msgspec.Struct, array_like=True, frozen=True):
    """An exception."""

    kind: Literal["error", "invalid", "load"]
    name: str
    """Name of its class."""
    message: str
    trace: str
    hint: str = ""


class Start(msgspec.Struct, array_like=True, tag="start", frozen=True):
    """Load the stage."""

    stage: bytes
    """`encode_plan`."""
    loader: str
    """`module:function` that gives the backend of a name."""
    path: list[str]
    """The parent's `sys.path`."""
    python_path: str | None
    """The parent's PYTHONPATH."""
    log_level: int
    """Of the parent's root logger."""
    index: int
    device: str
    threads: int
    warm: bool
    """Warm up before Ready: a process that replaces one that was warm."""
    control: Opened
    """A page that the parent writes: byte 0 is 1 when the running batch was cancelled. Its descriptor comes along."""


class Run(msgspec.Struct, array_like=True, tag="run", frozen=True):
    """Execute a batch."""

    inputs: list[Encoded]
    rows: int
    sizes: tuple[int, ...]
    request_ids: tuple[str, ...]
    deadline_ns: int | None
    """On the system's monotonic clock, which both processes share."""
    node: str
    opened: list[Opened]
    dropped: list[int]
    freed: list[Region]
    """Output regions that the parent needs no more."""


class Warmup(msgspec.Struct, array_like=True, tag="warmup", frozen=True):
    """Call the instance's `warmup`."""


class Stop(msgspec.Struct, array_like=True, tag="stop", frozen=True):
    """Close the instance and end."""


class Ready(msgspec.Struct, array_like=True, tag="ready", frozen=True):
    """Loaded, or warm."""

    copies: list[tuple[int, str]]


class Done(msgspec.Struct, array_like=True, tag="done", frozen=True):
    """The outputs of a batch. Input regions are free again once this is read."""

    outputs: list[Encoded]
    failed: dict[int, Fault] | None
    copies: list[tuple[int, str]]
    """(bytes, reason) of each copy of tensor data that was made."""
    opened: list[Opened]
    dropped: list[int]


class Raised(msgspec.Struct, array_like=True, tag="raised", frozen=True):
    """Loading, warm-up or the batch raised."""

    fault: Fault
    copies: list[tuple[int, str]]


Request = Start | Run | Warmup | Stop
Reply = Ready | Done | Raised

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """The message as msgpack."""
    return _encoder.encode(message)


def decode_request(data: bytes | memoryview) -> Request:
    """What the parent sent."""
    return _requests.decode(data)


def decode_reply(data: bytes | memoryview) -> Reply:
    """msgspec.DecodeError if it is not one: a child whose memory is damaged may send anything."""
    return _replies.decode(data)
