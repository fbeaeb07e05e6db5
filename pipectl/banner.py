"""What a server says when it is ready: what it serves, where, and commands to try it with."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline_dsl.plan import PipelinePlan
from serving.deployment import Served
from serving.server import Server

from .app import _input_spec

if TYPE_CHECKING:
    from .commands.serve import Settings


def banner(server: Server) -> str:
    """The text for stdout."""
    return "\n".join(_lines(server)) + "\n"


def _lines(server: Server) -> Iterator[str]:
    catalog = server.operations.repository.catalog
    served = sorted(catalog, key=lambda s: (s.name, s.version))
    several = any(len(versions) > 1 for versions in catalog.pipelines.values())
    yield f"serving {len(served)} {'pipeline' if len(served) == 1 else 'pipelines'}"
    for one in served:
        yield f"  {signature(one)}" + (f"  version {one.version}" if several else "")
    for name, reason in sorted(catalog.known.items()):
        yield f"  {name} is not served: {reason}"
    for listener in server.listeners:
        yield f"{listener.name} at {listener.address}"


def signature(served: Served) -> str:
    """As the language writes it: `hello(name: string) -> (greeting: string, length: i64)`."""
    plan: PipelinePlan = served.plan
    inputs = ", ".join(str(_input_spec(port)) for port in plan.inputs)
    outputs = ", ".join(f"{port.name}: {port.type}" for port in plan.outputs)
    return f"{served.name}({inputs}) -> ({outputs})"


def warnings(settings: Settings) -> Iterator[str]:
    """What is open to others though nothing protects it."""
    for option in ("grpc", "http", "metrics"):
        given: str = getattr(settings, option)
        if given and not loopback(given) and not (settings.tls_cert and (settings.tokens or settings.tls_clients)):
            missing = "TLS" if not settings.tls_cert else "tokens"
            yield f"--{option} {given} can be reached from other machines, without {missing}"


def loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    host = address.rpartition(":")[0].strip("[]")
    if host.startswith("unix:") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
