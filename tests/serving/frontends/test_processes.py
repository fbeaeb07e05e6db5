"""`pipectl serve --frontends 2`: real processes, the clients people have, and deaths of either side."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as grpc_client
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http_client
import tritonclient.http.aio as http_aio
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException

from tests.serving.frontends.processes import (
    OWN,
    Serving,
    children,
    command,
    descriptors,
    segments,
    served,
    tensor,
    until,
)

STAGES = '''
import itertools
import threading
from pathlib import Path

def count(*, n):
    for i in range(n):
        yield f"w{i}"

class Endless:
    """Says when nobody reads it any more."""
    def __init__(self, *, folder):
        self.folder = Path(folder)
    def __call__(self, *, n):
        try:
            for i in itertools.count(n):
                yield f"w{i}"
        finally:
            (self.folder / f"ended-{n}").touch()

class Wait:
    """Says that it runs, and goes on when told."""
    def __init__(self, *, folder):
        self.folder = Path(folder)
    def __call__(self, *, name):
        (self.folder / f"started-{name[0]}").touch()
        while not (self.folder / "go").exists():
            threading.Event().wait(0.005)
        return name
'''
PIPE = """pipe 1
stage one(x: f32[*, N]) -> (x: f32[*, N]) using null()
stage texts_as_they_are(text: string[*]) -> (text: string[*]) using null()
stage count(n: i64) -> (word: stream string) using python("MODULE:count")
stage endless(n: i64) -> (word: stream string) using python("MODULE:Endless", folder = "FOLDER")
stage wait(name: string[*]) -> (name: string[*]) using python("MODULE:Wait", folder = "FOLDER")

pipeline same(x: f32[*, N]) -> (x: f32[*, N]) { return x = one(x) }
pipeline texts(text: string[*]) -> (text: string[*]) { return text = texts_as_they_are(text) }
pipeline words(n: i64) -> (word: stream string) { return word = count(n) }
pipeline forever(n: i64) -> (word: stream string) { return word = endless(n) }
pipeline waits(name: string) -> (name: string) { return name = wait(name) }
"""
LARGE = np.arange(2 * 3 * 640 * 640, dtype=np.float32).reshape(2, -1)


def program(folder: Path) -> Path:
    module = f"frontend_stages_{os.getpid()}"
    (folder / f"{module}.py").write_text(STAGES)
    path = folder / "all.pipe"
    path.write_text(PIPE.replace("MODULE", module).replace("FOLDER", str(folder)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("frontends")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Serving]:
    control = ("--allow-client-shm", "--model-control", "explicit", "--drain-delay", "1ms")
    with served(program(folder), "--frontends", "2", *control) as found:
        yield found


def test_grpc_and_http_clients_get_every_bit_back(server: Serving) -> None:
    for kind, protocol in ((grpc_client, "gRPC"), (http_client, "HTTP")):
        with kind.InferenceServerClient(server.urls[protocol]) as client:
            assert client.is_server_ready()
            assert client.is_model_ready("same")
            for x in (LARGE, LARGE[:, :8], LARGE[:1, :0]):
                answer = client.infer("same", [tensor(kind, "x", np.ascontiguousarray(x))], request_id="7")
                assert answer.as_numpy("x").tobytes() == x.tobytes()
            long = "é" * 100_000
            answer = client.infer("texts", [tensor(kind, "text", [long, "", "b"])])
            assert answer.as_numpy("text").tolist() == [long.encode(), b"", b"b"]


def test_aio_clients(server: Serving) -> None:
    async def ask(kind: Any, protocol: str) -> None:
        async with kind.InferenceServerClient(server.urls[protocol]) as client:
            asked = [client.infer("same", [tensor(kind, "x", LARGE[:, i : i + 9000].copy())]) for i in range(16)]
            for i, answer in enumerate(await asyncio.gather(*asked)):
                assert (answer.as_numpy("x") == LARGE[:, i : i + 9000]).all()

    asyncio.run(ask(grpc_aio, "gRPC"))
    asyncio.run(ask(http_aio, "HTTP"))


def test_everything_else_is_asked_of_the_parent(server: Serving) -> None:
    with server.client() as client:
        assert [m.name for m in client.get_model_repository_index().models] == [
            "forever",
            "same",
            "texts",
            "waits",
            "words",
        ]
        assert client.get_model_metadata("same").inputs[0].datatype == "FP32"
        assert client.get_model_config("same").config.name == "same"
        assert client.get_inference_statistics("same").model_stats[0].inference_count > 0
        assert client.get_log_settings().settings["log_info"].bool_param
        with pytest.raises(InferenceServerException, match="no pipeline `smae`; did you mean `same`"):
            client.get_model_metadata("smae")
    with http_client.InferenceServerClient(server.urls["HTTP"]) as http:
        assert http.get_server_metadata()["name"] == "pipectl"
        with pytest.raises(InferenceServerException, match="input `x`: datatype FP32 is expected") as wrong:
            http.infer("same", [tensor(http_client, "x", np.zeros((1, 1), np.int64))])
        assert wrong.value.status() == "400"


def test_what_needs_the_types_of_pipelines(server: Serving) -> None:
    base = f"http://{server.urls['HTTP']}"
    with urllib.request.urlopen(f"{base}/openapi.json", timeout=30) as answer:
        assert "/v2/models/same/infer" in json.load(answer)["paths"]
    asked = urllib.request.Request(f"{base}/v2/models/words/generate_stream", b'{"n": 3}', method="POST")
    with urllib.request.urlopen(asked, timeout=30) as answer:
        events = [json.loads(line[6:]) for line in answer if line.startswith(b"data: ")]
    assert [event["word"] for event in events] == ["w0", "w1", "w2"]
    with grpc.insecure_channel(server.urls["gRPC"], OWN) as channel:
        found = ProtoReflectionDescriptorDatabase(channel)
        assert "pipectl.same.Same" in found.get_services()
        pool, names = DescriptorPool(found), ("TextsRequest", "TextsResponse")
        kinds = [GetMessageClass(pool.FindMessageTypeByName(f"pipectl.texts.{name}")) for name in names]
        run = channel.unary_unary("/pipectl.texts.Texts/Run", kinds[0].SerializeToString, kinds[1].FromString)
        assert list(run(kinds[0](text=["a", "é"])).text) == ["a", "é"]


def test_a_change_reaches_all_frontends(server: Serving) -> None:
    clients = _one_on_each(server)
    clients["0"].unload_model("same")
    for client in clients.values():
        until(lambda: not _serving(server))
        with pytest.raises(InferenceServerException, match="it was unloaded"):
            client.infer("same", [tensor(grpc_client, "x", np.zeros((1, 1), np.float32))])
        assert not client.is_server_ready()
    clients["1"].load_model("same")
    for client in clients.values():
        assert client.is_model_ready("same")
        client.infer("same", [tensor(grpc_client, "x", np.zeros((1, 1), np.float32))])
        client.close()
    until(lambda: _serving(server))


def _serving(server: Serving) -> bool:
    """What the health service of one frontend or the other says."""
    with grpc.insecure_channel(server.urls["gRPC"], OWN) as channel:
        request = health_pb2.HealthCheckRequest(service="same")
        answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=30)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_memory_of_clients_is_the_parents(server: Serving) -> None:
    from tritonclient.utils import shared_memory as shm

    key = f"/pipectl-frontends-{os.getpid()}"
    region = shm.create_shared_memory_region("r", key, LARGE.nbytes)
    os.chmod(f"/dev/shm{key}", 0o600)
    try:
        shm.set_shared_memory_region(region, [LARGE])
        with server.client() as one, server.client() as two:
            one.register_system_shared_memory("r", key, LARGE.nbytes)
            asked = grpc_client.InferInput("x", list(LARGE.shape), "FP32")
            asked.set_shared_memory("r", LARGE.nbytes)
            assert (two.infer("same", [asked]).as_numpy("x") == LARGE).all()
            two.unregister_system_shared_memory("r")
    finally:
        shm.destroy_shared_memory_region(region)


def test_a_stream_comes_whole_and_one_that_is_left_ends(server: Serving, folder: Path) -> None:
    words: list[str] = []
    some, ended = threading.Event(), threading.Event()

    def keep(result: Any, error: Any) -> None:
        if result is not None:
            words.append(result.as_numpy("word")[0].decode())
        if words[-1:] == ["w199"]:
            ended.set()
        if words[-1:] == ["w1500"]:
            some.set()

    with server.client() as client:
        client.start_stream(keep)
        client.async_stream_infer("words", [tensor(grpc_client, "n", np.array([200]))])
        assert ended.wait(30)
        assert words == [f"w{i}" for i in range(200)]
        client.async_stream_infer("forever", [tensor(grpc_client, "n", np.array([1000]))])
        assert some.wait(30)
        client.stop_stream(cancel_requests=True)
    until((folder / "ended-1000").exists)


def test_a_deadline_ends_the_wait(server: Serving, folder: Path) -> None:
    with server.client() as client:
        with pytest.raises(InferenceServerException, match=r"(?i)deadline"):
            client.infer("waits", [tensor(grpc_client, "name", ["late"])], client_timeout=0.3)
        (folder / "go").touch()
        until(lambda: client.infer("waits", [tensor(grpc_client, "name", ["next"])]))
    (folder / "go").unlink()


def test_a_frontend_that_is_killed_takes_only_its_own_connections(server: Serving, folder: Path) -> None:
    clients = _one_on_each(server)
    before = descriptors(server.process.pid)
    pids, stop = server.frontends, threading.Event()
    failures: dict[str, list[Exception]] = {"0": [], "1": []}
    answered = {"0": 0, "1": 0}

    def load(index: str) -> None:
        given = [tensor(grpc_client, "x", LARGE[:, :20_000].copy())]
        while not stop.is_set():
            try:
                found = clients[index].infer("same", given).as_numpy("x")
                assert (found == LARGE[:, :20_000]).all()
                answered[index] += 1
            except InferenceServerException as error:  # between two requests the client connects anew without one
                failures[index].append(error)
                stop.wait(0.05)

    threads = [threading.Thread(target=load, args=(index,), daemon=True) for index in clients]
    for thread in threads:
        thread.start()
    until(lambda: min(answered.values()) > 3)
    os.kill(pids[0], signal.SIGKILL)
    with server.client() as new:  # the other one takes new connections, as soon as the socket of this one is gone
        until(lambda: _ready(new))
    until(lambda: sum(server.figures("pipe_frontend_restarts_total").values()) == 1)
    (alive,) = [index for index, starts in server.figures("pipe_frontend_restarts_total").items() if not starts]
    now = dict(answered)
    until(lambda: all(answered[index] > now[index] + 3 for index in clients))
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures[alive]
    until(lambda: len(server.frontends) == 2 and pids[0] not in server.frontends)
    for client in clients.values():
        client.close()
    again = _one_on_each(server)  # the new one answers, too
    for client in again.values():
        client.close()
    _nothing_is_left(server, before)


def _one_on_each(server: Serving) -> dict[str, Any]:
    """A client for each frontend, by the frontend's index."""
    found: dict[str, Any] = {}
    for _ in range(200):
        client = server.client()
        before = server.figures("pipe_frontend_requests_total")
        try:
            client.infer("same", [tensor(grpc_client, "x", np.zeros((1, 1), np.float32))])
        except InferenceServerException:  # it was with one that has just died
            client.close()
            continue
        after = server.figures("pipe_frontend_requests_total")
        (index,) = [i for i in after if after[i] > before[i]]
        if index in found:
            client.close()
        else:
            found[index] = client
        if len(found) == 2:
            return found
    pytest.fail(f"all connections went to frontend {list(found)}")


def _nothing_is_left(server: Serving, before: list[str]) -> None:
    """No memory of a process that is gone, no descriptor more than before, no zombie."""
    parent = server.process.pid

    def clean() -> bool:
        shared = set().union(*[segments(pid) for pid in server.frontends])
        return segments(parent) <= shared and len(_others(descriptors(parent))) <= len(_others(before))

    until(clean)
    for pid in (parent, *server.frontends):  # a mapping holds one
        assert len(descriptors(pid)) - len(_others(descriptors(pid))) == len(segments(pid))
    assert all(command(pid) for pid in children(parent))  # a zombie has no command line


def _others(found: list[str]) -> list[str]:
    return [one for one in found if "memfd:pipectl" not in one]


def test_connections_are_counted(server: Serving) -> None:
    with server.client() as one, server.client() as two, http_client.InferenceServerClient(server.urls["HTTP"]) as web:
        for client in (one, two, web):
            assert client.is_server_live()
        until(lambda: sum(server.figures("pipe_frontend_connections").values()) == 3)
    until(lambda: sum(server.figures("pipe_frontend_connections").values()) == 0)


def test_sigterm_answers_what_is_under_way(server: Serving, folder: Path) -> None:
    pids = server.frontends
    answers: list[Any] = []
    done = threading.Event()

    def keep(result: Any, error: Any) -> None:
        answers.append(error or result.as_numpy("name").tolist())
        done.set()

    with server.client() as client:
        client.async_infer("waits", [tensor(grpc_client, "name", ["last"])], keep)
        until((folder / "started-last").exists)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not client.is_server_ready())
        until(lambda: _refused(client))
        (folder / "go").touch()
        assert done.wait(30)
    assert answers == [[b"last"]]
    _, errors = server.process.communicate(timeout=30)
    assert server.process.returncode == 0
    assert "Traceback" not in errors, errors
    assert not any(map(command, pids))


def _ready(client: Any) -> bool:
    try:
        return bool(client.is_server_ready())
    except InferenceServerException:
        return False


def _refused(client: Any) -> bool:
    try:
        client.infer("same", [tensor(grpc_client, "x", np.zeros((1, 1), np.float32))])
    except InferenceServerException as error:
        return bool(error.status() == "StatusCode.UNAVAILABLE")
    return False


def test_tokens_are_checked_and_frontends_die_with_their_parent(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.touch(0o600)
    tokens.write_text('[ada]\ntoken = "a-token-for-inference"\ngroups = ["inference"]\n')
    with served(program(tmp_path), "--frontends", "1", "--tokens", tokens) as found:
        given = [tensor(grpc_client, "x", LARGE)]
        ada = {"authorization": "Bearer a-token-for-inference"}
        with found.client() as client:
            assert (client.infer("same", given, headers=ada).as_numpy("x") == LARGE).all()
            for headers, code in ((None, "UNAUTHENTICATED"), ({"authorization": "Bearer x"}, "UNAUTHENTICATED")):
                with pytest.raises(InferenceServerException) as caught:
                    client.infer("same", given, headers=headers)
                assert caught.value.status() == f"StatusCode.{code}"
            with pytest.raises(InferenceServerException, match="`ada` is not for `model-repository`") as denied:
                client.get_model_repository_index(headers=ada)
            assert denied.value.status() == "StatusCode.PERMISSION_DENIED"
        pids = found.frontends
        assert len(pids) == 1
        os.kill(found.process.pid, signal.SIGKILL)
        until(lambda: not any(map(command, pids)))
