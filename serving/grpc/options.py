"""How the gRPC port is set, apart from the library that serves it: who only starts others needs only this."""

from __future__ import annotations

from dataclasses import dataclass

from serving.tls import Tls

SPARE = 64 * 1024
"""Bytes a message may have beside its tensors."""


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """How the gRPC port is set. Times in milliseconds, as gRPC counts them."""

    address: str = "127.0.0.1:8001"
    tls: Tls | None = None
    max_concurrent: int | None = None
    """Calls under way at a time; further ones are refused at once."""
    keepalive_ms: int = 7_200_000
    keepalive_timeout_ms: int = 20_000
    keepalive_without_calls: bool = False
    max_connection_age_ms: int | None = None
    max_connection_grace_ms: int | None = None
    reuse_port: bool = False

    def arguments(self, max_message: int) -> list[tuple[str, int]]:
        """As arguments of the server's channels."""
        found = [
            ("grpc.max_receive_message_length", max_message + SPARE if max_message else -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(self.reuse_port)),
            ("grpc.keepalive_time_ms", self.keepalive_ms),
            ("grpc.keepalive_timeout_ms", self.keepalive_timeout_ms),
            ("grpc.keepalive_permit_without_calls", int(self.keepalive_without_calls)),
            ("grpc.enable_channelz", 1),
        ]
        if self.max_connection_age_ms is not None:
            found.append(("grpc.max_connection_age_ms", self.max_connection_age_ms))
        if self.max_connection_grace_ms is not None:
            found.append(("grpc.max_connection_age_grace_ms", self.max_connection_grace_ms))
        return found
