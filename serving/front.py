"""What the ports need of a server, wherever its engines are: in this process, or in the one that started it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Protocol

from .access import Access, Caller
from .options import ServerOptions
from .repository import Repository
from .tensors import InferAnswer, InferCall


class Infers(Protocol):
    """Answers calls of pipelines."""

    def infer(self, caller: Caller, call: InferCall) -> Coroutine[Any, Any, InferAnswer]:
        """The one response of a call."""

    def stream(self, caller: Caller, call: InferCall) -> AsyncGenerator[InferAnswer]:
        """All responses of a call. Closing it ends the work behind it."""

    def streams(self, model: str, version: str = "") -> bool:
        """Whether a pipeline gives any number of responses."""


class Ready(Protocol):
    """What watchers of `grpc.health.v1` are told."""

    def ready(self, caller: Caller) -> bool:
        """Requests are taken."""

    def model_ready(self, caller: Caller, name: str, version: str = "") -> bool:
        """A pipeline can be asked."""


class Front(Protocol):
    """`Operations` is one; a frontend has one that asks its parent."""

    @property
    def options(self) -> ServerOptions: ...

    @property
    def access(self) -> Access: ...

    @property
    def repository(self) -> Repository: ...

    @property
    def health(self) -> Ready: ...

    @property
    def inference(self) -> Infers: ...
