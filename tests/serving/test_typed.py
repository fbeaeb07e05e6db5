"""Typed services: their files compile to what is served, their calls give what the protocol v2 gives."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from pipectl.__main__ import run
from pipeline_dsl.plan import PipelinePlan
from serving.access import Access
from serving.deployment import Source
from serving.typed.catalog import TypedCatalog
from serving.typed.schema import camel, common, file_of
from serving.typed.text import COMMON_TEXT, proto_text

from .grpc_server import Running, grpc_server
from .live import Live, live
from .programs import PIPE, compiled

Server = Live[Running]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "null.pipe"
    path.write_text(PIPE)
    with live(grpc_server(path)) as found:
        yield found


def plans() -> dict[str, PipelinePlan]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "null.pipe"
        path.write_text(PIPE)
        return dict(compiled(Source(path)).pipelines)


@pytest.fixture(scope="module")
def protoc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileDescriptorProto]:
    """What a protobuf compiler makes of all files, by name."""
    from grpc_tools import protoc as compiler

    folder = tmp_path_factory.mktemp("protos")
    pipe = folder / "null.pipe"
    pipe.write_text(PIPE)
    assert run(["proto", str(pipe), "--output", str(folder)]) == 0
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.proto"))
    out = folder / "set"
    common_files = files("grpc_tools") / "_proto"
    assert not compiler.main(["protoc", f"-I{folder}", f"-I{common_files}", f"--descriptor_set_out={out}", *names])
    return {f.name: f for f in FileDescriptorSet.FromString(out.read_bytes()).file}


def plain(file: FileDescriptorProto) -> FileDescriptorProto:
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
    return file


@pytest.mark.parametrize("name", ["common/tensors", *plans()])
def test_files_compile_to_what_is_served(protoc: dict[str, FileDescriptorProto], name: str) -> None:
    ours = common() if name == "common/tensors" else file_of(plans()[name], again=True)
    assert plain(protoc[f"pipectl/{name}.proto"]) == ours


def test_a_file_reads_as_written_by_hand() -> None:
    assert (
        proto_text(plans()["single"])
        == """syntax = "proto3";

package pipectl.single;

service Single {
  rpc Run(SingleRequest) returns (SingleResponse);
}

message SingleRequest {
  int64 n = 1;  // i64
  optional string s = 2;  // string
  optional bool b = 3;  // bool
  optional string j = 4;  // json
  optional double p = 5;  // f64
}

message SingleResponse {
  int64 n = 1;  // i64
  string s = 2;  // string
  bool b = 3;  // bool
  string j = 4;  // json
  double p = 5;  // f64
}
"""
    )
    assert "// Rows of four numbers, through two stages.\nservice Rows {" in proto_text(plans()["rows"])
    assert COMMON_TEXT.startswith('syntax = "proto3";')


def test_the_command_prints_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    assert run(["proto", str(path), "-p", "texts"]) == 0
    assert capsys.readouterr().out == proto_text(plans()["texts"], again=True)
    assert run(["proto", str(path)]) == 2


@pytest.mark.parametrize(("name", "expected"), [("ocr_like", "OcrLike"), ("_1a", "P1a"), ("_", "P"), ("aB", "AB")])
def test_names_of_services(name: str, expected: str) -> None:
    assert camel(name) == expected


# ---- calls


class Client:
    """Calls typed services with messages made from the files."""

    def __init__(self, server: Server) -> None:
        self._url = server.value.url
        self._catalog = TypedCatalog(server.value.operations.repository.catalog)

    def __call__(self, name: str, metadata: Any = None, **fields: Any) -> Any:
        path = f"/pipectl.{name}.{camel(name)}/Run"
        messages = self._catalog.calls[path].messages
        with grpc.insecure_channel(self._url) as channel:
            data = channel.unary_unary(path)(
                messages.request(**fields).SerializeToString(), timeout=20, metadata=metadata
            )
        response: Any = type(messages.response([]))
        return response.FromString(data)


@pytest.fixture
def typed(server: Server) -> Client:
    return Client(server)


def tensor(array: np.ndarray[Any, Any], **more: Any) -> dict[str, Any]:
    return {"shape": array.shape, "data": array.tobytes(), **more}


def test_single_values(typed: Client) -> None:
    answer = typed("single", n=7, j='{"a": 1}')
    assert (answer.n, answer.s, answer.b, answer.j, answer.p) == (7, "none", True, '{"a":1}', 0.5)
    assert typed("single", n=7, b=False, s="").b is False


def test_repeated_values(typed: Client) -> None:
    assert list(typed("texts", text=["one", "zwö"]).text) == ["one", "zwö"]
    assert list(typed("blobs", data=[b"\xff", b""]).data) == [b"\xff", b""]
    answer = typed("small", a=[-1, 2], b=[65535, 0], c=[True, False])
    assert (list(answer.a), list(answer.b), list(answer.c)) == ([-1, 2], [65535, 0], [True, False])


def test_tensors(typed: Client) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    answer = typed("rows", x=tensor(x))
    assert list(answer.z.shape) == [2, 4]
    assert answer.z.data == x.tobytes()
    ids = np.array([[1, 2, 3], [4, 0, 0]], np.int64)
    answer = typed("ragged", ids=tensor(ids, lengths=[3, 1]))
    assert (answer.ids.data, list(answer.ids.lengths)) == (ids.tobytes(), [3, 1])


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("small", {"a": [128], "b": [1], "c": [True]}, "`a`.*128"),
        ("small", {"a": [1, 2], "b": [1], "c": [True]}, "`b`"),
        ("rows", {}, "`x`.*missing"),
        ("rows", {"x": {"shape": [-1, 4], "data": b""}}, "`x`.*-1"),
        ("rows", {"x": {"shape": [2, 4], "data": b"1234"}}, "`x`.*32 bytes"),
        ("ragged", {"ids": {"shape": [1, 1], "data": bytes(8)}}, "`ids.lengths`"),
        ("single", {"j": "{"}, "`j`.*json"),
    ],
)
def test_bad_requests(typed: Client, name: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(grpc.RpcError, match=words) as caught:
        typed(name, **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]  # a Call too


def test_a_request_may_name_itself(typed: Client) -> None:
    with pytest.raises(grpc.RpcError, match="request mine"):
        typed("fails", [("x-request-id", "mine")], x=tensor(np.array([[13, 0, 0, 0]], np.float32)))


# ---- reflection, health, channelz


def test_reflection_describes_every_service(server: Server) -> None:
    with grpc.insecure_channel(server.value.url) as channel:
        found = ProtoReflectionDescriptorDatabase(channel)
        services = set(found.get_services())
        assert {"pipectl.rows.Rows", "inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services
        for service in services:
            assert found.FindFileContainingSymbol(service)
        rows = found.FindFileByName("pipectl/rows.proto")
        assert [f.name for f in rows.message_type[0].field] == ["x"]


def test_health_is_checked_and_watched(server: Server) -> None:
    with grpc.insecure_channel(server.value.url) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService", "rows"):
            assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == 1
        with pytest.raises(grpc.RpcError, match="NOT_FOUND"):
            health.Check(health_pb2.HealthCheckRequest(service="nothing"))


def test_watchers_hear_of_the_end(tmp_path: Path) -> None:
    path = tmp_path / "null.pipe"
    path.write_text(PIPE)
    with live(grpc_server(path)) as server, grpc.insecure_channel(server.value.url) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="rows"), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.run(server.value.operations.repository.drain(5))
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()


def test_channelz_counts_calls(server: Server) -> None:
    with grpc.insecure_channel(server.value.url) as channel:
        found = channelz_pb2_grpc.ChannelzStub(channel).GetServers(channelz_pb2.GetServersRequest())
        assert found.server


def test_services_follow_what_is_served(tmp_path: Path) -> None:
    path = tmp_path / "p.pipe"
    path.write_text(
        "pipe 1\nstage f(x: f32[*]) -> (y: f32[*]) using null()\n"
        "pipeline one(x: f32[*]) -> (y: f32[*]) { return y = f(x) }\n"
    )
    with live(grpc_server(path)) as server, grpc.insecure_channel(server.value.url) as channel:
        assert "pipectl.one.One" in ProtoReflectionDescriptorDatabase(channel).get_services()
        path.write_text(path.read_text().replace("pipeline one", "pipeline two"))
        server.run(server.value.operations.repository.reload(Source(path)))
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert "pipectl.two.Two" in services
        assert "pipectl.one.One" not in services


def test_without_a_token_only_health_answers(tmp_path: Path) -> None:
    path, tokens = tmp_path / "null.pipe", tmp_path / "tokens"
    path.write_text(PIPE)
    tokens.write_text('[ada]\ntoken = "0123456789abcdef"\ngroups = ["inference", "reflection", "statistics"]\n')
    tokens.chmod(0o600)
    bearer = (("authorization", "Bearer 0123456789abcdef"),)
    with live(grpc_server(path, access=Access(tokens))) as server, grpc.insecure_channel(server.value.url) as channel:
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status == 1
        channelz = channelz_pb2_grpc.ChannelzStub(channel)
        for refused in (
            lambda: ProtoReflectionDescriptorDatabase(channel).get_services(),
            lambda: channelz.GetServers(channelz_pb2.GetServersRequest()),
            lambda: Client(server)("texts", text=["a"]),
            lambda: channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")(b""),
            lambda: next(channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")(iter([b""]))),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                refused()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]  # a Call too
        assert list(Client(server)("texts", bearer, text=["a"]).text) == ["a"]
        assert channelz.GetServers(channelz_pb2.GetServersRequest(), metadata=bearer).server
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/inference.GRPCInferenceService/ModelMetadata")(b"", metadata=bearer)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]  # the same


def test_calls_that_are_cancelled_leave_nothing(server: Server) -> None:
    async def scenario() -> None:
        deployment = server.value.operations.repository.catalog.pipeline("texts").deployment
        async with grpc.aio.insecure_channel(server.value.url) as channel:
            call = channel.unary_unary("/pipectl.texts.Texts/Run")
            calls = [call(b"\x0a\x01a") for _ in range(50)]
            for one in calls:
                one.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        server.run(deployment.unused())
        assert deployment.engine.check_idle() == []

    asyncio.run(scenario())
