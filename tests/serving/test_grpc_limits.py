"""Certificates, deadlines, full queues, and the codes of the server whose clients come here."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import grpc
import pytest
import tritonclient.grpc as client
from tritonclient.utils import InferenceServerException

from executor.errors import Cancelled, DeadlineExceeded, Overloaded
from serving.access import Access
from serving.errors import AlreadyExists, RequestError, codes
from serving.grpc.callers import Callers
from serving.grpc.options import GrpcOptions
from serving.grpc.server import GrpcServer, Tls
from serving.grpc.status import PUSHBACK
from serving.options import ServerOptions
from serving.server import BindError
from serving.tensors import InferCall

from .attacks import ROW
from .grpc_server import Running, grpc_server
from .live import Live, live
from .programs import PIPE, running
from .test_grpc import call, infer_request, x

SLOW = """pipe 1
stage wait(x: f32[*, 4]) -> (x: f32[*, 4]) using null(latency = 300ms)
pipeline rows(x: f32[*, 4]) -> (x: f32[*, 4]) { return x = wait(x) }
profile tight {
  rows { max_inflight = 1, queue { max = 1 } }
}
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    return path


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow.pipe"
    path.write_text(SLOW)
    return path


# ---- certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, and server and client certificates that it signed."""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*args: str) -> None:
        subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    for name in ("server", "client"):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)
    return folder


def tls(folder: Path, *, mutual: bool = False) -> Tls:
    return Tls(folder / "server.pem", folder / "server.key", folder / "ca.pem" if mutual else None)


def ready(url: str, folder: Path, *, certificate: bool = False) -> bool:
    given = {"root_certificates": str(folder / "ca.pem")}
    if certificate:
        given |= {"private_key": str(folder / "client.key"), "certificate_chain": str(folder / "client.pem")}
    with client.InferenceServerClient(url, ssl=True, **given) as triton:
        found: bool = triton.is_server_ready(client_timeout=5)
        return found


def test_a_server_with_a_certificate(pipe: Path, certificates: Path) -> None:
    with live(grpc_server(pipe, grpc=GrpcOptions(tls=tls(certificates)))) as server:
        assert ready(server.value.url, certificates)
        with pytest.raises(InferenceServerException), client.InferenceServerClient(server.value.url) as plain:
            plain.is_server_ready(client_timeout=5)


def test_a_server_for_certified_clients_only(pipe: Path, certificates: Path) -> None:
    with live(grpc_server(pipe, grpc=GrpcOptions(tls=tls(certificates, mutual=True)))) as server:
        assert ready(server.value.url, certificates, certificate=True)
        with pytest.raises(InferenceServerException):
            ready(server.value.url, certificates)


# ---- time and load


def test_the_deadline_of_the_call_is_that_of_the_request(slow: Path) -> None:
    with live(grpc_server(slow)) as server:
        with pytest.raises(grpc.RpcError) as caught:
            call(server, infer_request(raw_input_contents=[ROW]), timeout=0.05)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]  # a Call too
        assert idle(server) == []


def test_the_timeout_parameter_ends_a_request(slow: Path) -> None:
    with live(grpc_server(slow)) as server, client.InferenceServerClient(server.value.url) as triton:
        with pytest.raises(InferenceServerException, match="deadline") as caught:
            triton.infer("rows", [x()], timeout=50_000)
        assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def idle(server: Live[Running]) -> list[str]:
    """What is left once nobody uses the pipeline any more."""
    (deployment,) = server.value.operations.repository.catalog.deployments
    server.run(deployment.unused())
    deployment.engine.drain(10)
    return deployment.engine.check_idle()


@pytest.mark.parametrize("compat", [False, True])
def test_a_full_line_refuses_at_once_and_says_when_to_come_back(slow: Path, compat: bool) -> None:
    options = ServerOptions(compat=compat, retry_after=2.5)
    request = infer_request(raw_input_contents=[ROW]).SerializeToString()
    with live(grpc_server(slow, options, profile="tight")) as server:
        with grpc.insecure_channel(server.value.url) as channel:
            method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            calls = [method.future(request, timeout=20) for _ in range(10)]
            errors = [c.exception() for c in calls]
        refused: list[Any] = [e for e in errors if e is not None]
        assert len(refused) == 8
        assert {e.code().name for e in refused} == {"UNAVAILABLE" if compat else "RESOURCE_EXHAUSTED"}
        assert all("queue.max = 1" in e.details() for e in refused)
        assert dict(refused[0].trailing_metadata())[PUSHBACK] == "2500"


def test_calls_over_the_limit_of_the_port_are_refused(slow: Path) -> None:
    request = infer_request(raw_input_contents=[ROW]).SerializeToString()
    limited = live(grpc_server(slow, grpc=GrpcOptions(max_concurrent=2)))
    with limited as server, grpc.insecure_channel(server.value.url) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        calls = [method.future(request, timeout=20) for _ in range(10)]
        found = [c.exception() for c in calls]
    assert 2 <= found.count(None) < 10
    assert {e.code().name for e in found if e is not None} == {"RESOURCE_EXHAUSTED"}


def test_an_address_that_is_taken(pipe: Path) -> None:
    async def scenario() -> None:
        async with running(pipe) as ops:
            first = GrpcServer(ops, GrpcOptions(address="127.0.0.1:0"))
            await first.start()
            second = GrpcServer(ops, GrpcOptions(address=first.address))
            with pytest.raises(BindError, match=first.address):
                await second.start()
            await second.stop()
            await first.stop()

    asyncio.run(scenario())


# ---- codes


@pytest.mark.parametrize(
    ("error", "ours", "theirs"),
    [
        (Overloaded("full"), ("RESOURCE_EXHAUSTED", 429), ("UNAVAILABLE", 503)),
        (DeadlineExceeded("late"), ("DEADLINE_EXCEEDED", 504), ("UNAVAILABLE", 503)),
        (AlreadyExists("twice"), ("ALREADY_EXISTS", 409), ("ALREADY_EXISTS", 400)),
        (Cancelled("gone"), ("CANCELLED", 499), ("CANCELLED", 400)),
        (RequestError("broken"), ("INTERNAL", 500), ("INTERNAL", 500)),
    ],
)
def test_codes_and_those_of_a_triton_server(error: RequestError, ours: object, theirs: object) -> None:
    assert codes(error) == ours
    assert codes(error, compat=True) == theirs


def test_headers_are_forwarded_by_pattern(pipe: Path) -> None:
    class Context:
        def peer(self) -> str:
            return "ipv4:127.0.0.1:1"

        def time_remaining(self) -> float:
            return 3.0

        def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
            return (("x-user", "ada"), ("x-user-bin", b"\x00"), ("authorization", "Bearer secret"))

    made = InferCall("rows")
    Callers(Access(), ServerOptions(header_pattern="x-.*")).annotate(made, Context())
    assert (made.headers, made.timeout) == ({"x-user": "ada"}, 3.0)
    assert made.peer == "ipv4:127.0.0.1:1"
    plain = InferCall("rows")
    Callers(Access(), ServerOptions()).annotate(plain, Context())
    assert dict(plain.headers) == {}
