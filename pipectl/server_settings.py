"""What `pipectl serve` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipectl._version import VERSION

if TYPE_CHECKING:
    from pipeline_dsl.plan import DeviceOverride
    from serving.options import ServerOptions


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one server, as they were given."""

    paths: tuple[Path | str, ...]
    """URLs of stores are texts."""
    profile: str | None
    params: dict[str, str]
    device: DeviceOverride
    serial: bool
    grpc: str
    http: str
    metrics: str
    reload: bool
    reload_interval: float
    store_limit: int
    id: str
    compat: str | None
    model_control: str
    allow_client_shm: bool
    max_message: int
    strict_readiness: bool
    exit_on_error: bool
    header_forward: str
    trace_folder: Path | None
    otlp: str | None
    otlp_share: float
    exit_timeout: float
    drain_delay: float
    tokens: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_clients: Path | None
    grpc_max_concurrent: int | None
    grpc_keepalive_time: int
    grpc_keepalive_timeout: int
    grpc_keepalive_without_calls: bool
    grpc_max_connection_age: int | None
    grpc_max_connection_grace: int | None
    grpc_reuse_port: bool
    frontends: int

    def options(self) -> ServerOptions:
        """What holds for all protocols."""
        from serving.options import ServerOptions

        compat = self.compat == "triton"
        return ServerOptions(
            id=self.id or ("triton" if compat else "pipectl"),
            version=VERSION,
            compat=compat,
            model_control=self.model_control == "explicit",
            shared_memory=self.allow_client_shm,
            max_message=self.max_message,
            strict_readiness=self.strict_readiness,
            exit_on_error=self.exit_on_error,
            header_pattern=self.header_forward,
            trace_folder=self.trace_folder,
            telemetry=self.otlp is not None,
            exit_timeout=self.exit_timeout,
            drain_delay=self.drain_delay,
        )
