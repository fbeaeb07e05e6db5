"""What a server says when it is ready: what it serves, where, and commands to try it with."""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Iterator

from pipeline_dsl.plan import InputPlan, PipelinePlan
from serving.deployment import Served
from serving.server import Server
from serving.wire_types import wire_shape

from .app import input_spec
from .server_settings import Settings


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
    grpc = next((one.address for one in server.listeners if one.name == "gRPC"), "")
    if served and grpc:
        yield "try"
        yield f"  pipectl infer {grpc} {served[0].name}{_example(served[0].plan)}"


def _example(pipeline: PipelinePlan) -> str:
    """Inputs of a first request, as a shell takes them; values of the right kind, for the reader to change."""
    return "".join(f" --input {shlex.quote(f'{p.name}={_sample(p)}')}" for p in pipeline.inputs if not _spared(p))


def _spared(port: InputPlan) -> bool:
    return port.has_default or port.type.optional


def _sample(port: InputPlan) -> str:
    kind = port.type.dtype.name
    if kind == "bytes" and not port.type.dims:
        return "@FILE"
    item = {"string": "hello", "bytes": "hello", "json": "{}", "bool": "true"}.get(kind, "1")
    if not port.type.dims:
        return item
    text = item if port.type.dtype.numeric else json.dumps(item)
    for size in reversed(wire_shape(port.type)):
        text = "[" + ", ".join([text] * max(size, 1)) + "]"
    return text if len(text) <= 60 else "@FILE.npy"


def signature(served: Served) -> str:
    """As the language writes it: `hello(name: string) -> (greeting: string, length: i64)`."""
    plan: PipelinePlan = served.plan
    inputs = ", ".join(str(input_spec(port)) for port in plan.inputs)
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
