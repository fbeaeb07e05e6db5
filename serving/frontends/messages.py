"""What a frontend and the process that runs the engines say to each other, as msgpack.

    parent: Start -> frontend: Listening | Refused
    parent: Shown, at once and after each change
    frontend: Call -> parent: Answer | Failed, or for a stream Answer.. and then Ended | Failed
    frontend: Ask -> parent: Told | Failed
    frontend: Cancel, Credit, Seen          parent: Stop -> the frontend ends

Calls and asks have numbers, which their answers repeat. Several messages travel in one `Frame`, together with the news
about the shared memory that their tensors lie in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from backends.ipc.encoded import Encoded
from backends.ipc.segments import Opened, Region
from serving.access import ANYONE, Caller
from serving.grpc.options import GrpcOptions
from serving.http.options import HttpOptions
from serving.options import ServerOptions
from serving.tensors import Parameter

Given = dict[str, Parameter]


class Message(msgspec.Struct, array_like=True, frozen=True):
    """Any of them."""


class Who(msgspec.Struct, array_like=True, frozen=True):
    """A caller as the frontend identified it. None in a message: anyone, for a server without tokens."""

    name: str
    groups: list[str]
    known: bool


def who(caller: Caller) -> Who | None:
    """A caller for a message."""
    return None if caller is ANYONE else Who(caller.name, list(caller.groups), caller.known)


def caller_of(given: Who | None) -> Caller:
    """The caller of a message."""
    return ANYONE if given is None else Caller(given.name, frozenset(given.groups), given.known)


class Tensor(msgspec.Struct, array_like=True, frozen=True):
    """A tensor of a request or an answer; `data` None: it lies in a client's shared memory."""

    name: str
    datatype: str
    shape: list[int]
    data: Encoded | None
    packed: bool
    """Bytes as a protocol packs them, and not the items or the array itself."""
    parameters: Given | None


# ---- from the frontend


class Listening(Message, tag="listening", frozen=True):
    """Its ports answer."""


class Refused(Message, tag="refused", frozen=True):
    """A port can not be listened at."""

    reason: str


class Call(Message, tag="call", frozen=True):
    """A request for a pipeline."""

    number: int
    stream: bool
    caller: Who | None
    model: str
    version: str
    id: str
    inputs: list[Tensor]
    outputs: list[tuple[str, Given | None]]
    parameters: Given | None
    deadline_ns: int | None
    """On the system's monotonic clock, which both processes share."""
    headers: dict[str, str] | None
    company: int
    peer: str


class Ask(Message, tag="ask", frozen=True):
    """Any other request: a method of gRPC with its message, or a route of HTTP with its path's names and its body."""

    number: int
    caller: Who | None
    protocol: Literal["grpc", "http"]
    method: str
    route: str
    path: dict[str, str]
    body: bytes


class Cancel(Message, tag="cancel", frozen=True):
    """Nobody waits for the answer any more."""

    number: int


class Credit(Message, tag="credit", frozen=True):
    """One response of a stream was taken."""

    number: int


class Seen(Message, tag="seen", frozen=True):
    """Connections that are open."""

    connections: int


# ---- from the parent


class Start(Message, tag="start", frozen=True):
    """How to listen."""

    options: ServerOptions
    tokens: Path | None
    grpc: GrpcOptions | None
    http: HttpOptions | None


class Pipelines(msgspec.Struct, array_like=True, frozen=True):
    """What one source gives: pipelines with their inputs and outputs."""

    path: Path
    version: int
    plans: list[bytes]
    """`encode_signature`."""
    repeatable: list[bool]


class Shown(Message, tag="shown", frozen=True):
    """What is served, and whether."""

    ready: bool
    leaving: bool
    growing: bool
    known: dict[str, str]
    """Names that are not served now, and why."""
    up: list[str]
    """Pipelines that can be asked."""
    sources: list[Pipelines]


class Answer(Message, tag="answer", frozen=True):
    """A response."""

    number: int
    model: str
    version: str
    id: str
    outputs: list[Tensor]
    parameters: Given | None
    final: bool


class Ended(Message, tag="ended", frozen=True):
    """A stream has no more responses."""

    number: int


class Failed(Message, tag="failed", frozen=True):
    """A `RequestError`."""

    number: int
    kind: str
    """Name of its class."""
    message: str
    pipeline: str
    node: str
    instance: int | None
    request_id: str
    retry_after: float | None
    started: bool


class Told(Message, tag="told", frozen=True):
    """What an ask is answered: of gRPC the message, of HTTP all of the reply."""

    number: int
    body: bytes
    status: int = 0
    media: bytes = b""
    headers: list[tuple[bytes, bytes]] = []


class Stop(Message, tag="stop", frozen=True):
    """Take nothing new, give what is under way so many seconds, and end."""

    grace: float


FromFrontend = Listening | Refused | Call | Ask | Cancel | Credit | Seen
FromParent = Start | Shown | Answer | Ended | Failed | Told | Stop


class Frame(msgspec.Struct, array_like=True, frozen=True):
    """Messages that go together."""

    messages: list[Any]
    opened: list[Opened]
    """Descriptors of these segments travel beside the frame."""
    dropped: list[int]
    freed: list[Region]
    """Regions of the reader that the sender needs no more."""


class FrontendFrame(Frame, frozen=True):
    """From a frontend."""

    messages: list[FromFrontend]


class ParentFrame(Frame, frozen=True):
    """From the parent."""

    messages: list[FromParent]


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a {type(value).__name__} can not be sent")


def _special(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"a {kind.__name__} can not come in")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
from_frontend: msgspec.msgpack.Decoder[FrontendFrame] = msgspec.msgpack.Decoder(FrontendFrame)
from_parent: msgspec.msgpack.Decoder[ParentFrame] = msgspec.msgpack.Decoder(ParentFrame, dec_hook=_special)


def encode(message: Message | Frame) -> bytes:
    """OverflowError or UnicodeEncodeError for a number or a text that msgpack has not."""
    return _encoder.encode(message)
