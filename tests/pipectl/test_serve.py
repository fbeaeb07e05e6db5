"""`pipectl serve` as a process: what it says, how it ends, what keeps it from starting."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as client
from tritonclient.utils import InferenceServerException

from pipectl.banner import loopback

Spawn = Callable[..., "subprocess.Popen[str]"]
PATIENCE = 30.0
ELSEWHERE = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
"""Ports that are free, whatever else runs here."""


class Serving:
    """A server that has said that it is ready."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        self.urls: dict[str, str] = {}
        """Addresses by protocol."""
        assert process.stdout is not None
        for line in process.stdout:
            self.said += line
            if found := re.match(r"(gRPC|HTTP|metrics) at (\S+)", line):
                self.urls[found[1]] = found[2]
            if len(self.urls) == 3:
                return
        assert process.stderr is not None
        pytest.fail(f"it did not start: {process.stderr.read()}")

    @property
    def url(self) -> str:
        return self.urls["gRPC"]

    def end(self, *signals: int) -> tuple[int, str]:
        for number in signals:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, err


@pytest.fixture
def serving(spawn: Spawn) -> Iterator[Callable[..., Serving]]:
    def start(*args: str | Path) -> Serving:
        return Serving(spawn("serve", *args, *ELSEWHERE, "--drain-delay", "1ms"))

    return start


def name(text: str) -> Any:
    found = client.InferInput("name", [1], "BYTES")
    found.set_data_from_numpy(np.array([text], object))
    return found


def test_it_says_what_it_serves_and_answers(serving: Callable[..., Serving], hello: Path) -> None:
    server = serving(hello)
    assert "hello(name: string, k: i64 = 3) -> (greeting: string, length: i64)" in server.said
    with client.InferenceServerClient(server.url) as triton:
        answer = triton.infer("hello", [name("Ada")])
    assert answer.as_numpy("greeting").tolist() == [b"Hello, Ada!"]
    assert server.end(signal.SIGTERM) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_answers_what_is_under_way(
    serving: Callable[..., Serving], write: Callable[..., Path], folder: Path, number: int
) -> None:
    server = serving(waiting(write, folder))
    with client.InferenceServerClient(server.url) as triton:
        answers: list[Any] = []
        done = threading.Event()

        def keep(result: Any, error: Any) -> None:
            answers.append(error or result.as_numpy("name").tolist())
            done.set()

        triton.async_infer("waits", [name("x")], keep)
        until(lambda: (folder / "started-['x']").exists())
        server.process.send_signal(number)
        until(lambda: not triton.is_server_ready())
        until(lambda: refused(triton))
        (folder / "go").touch()
        assert done.wait(PATIENCE)
    assert answers == [[b"x"]]
    assert server.end()[0] == 0


def test_a_second_signal_ends_it_at_once(
    serving: Callable[..., Serving], write: Callable[..., Path], folder: Path
) -> None:
    server = serving(waiting(write, folder))
    with client.InferenceServerClient(server.url) as triton:
        triton.async_infer("waits", [name("x")], lambda result, error: None)
        until(lambda: (folder / "started-['x']").exists())
        server.process.send_signal(signal.SIGTERM)
        until(lambda: not triton.is_server_ready())
    threading.Timer(0.2, (folder / "go").touch).start()  # or its worker would keep the process
    assert server.end(signal.SIGTERM)[0] == 143


def waiting(write: Callable[..., Path], folder: Path) -> Path:
    text = """pipe 1
stage wait(name: string[*]) -> (name: string[*])
  using python("{module}:Wait", folder = "FOLDER")
pipeline waits(name: string) -> (name: string) {{ return name = wait(name) }}
"""
    return write(text.replace("FOLDER", str(folder)))


def refused(triton: Any) -> bool:
    try:
        triton.infer("waits", [name("y")], client_timeout=0.2)
    except InferenceServerException as error:
        return error.status() == "StatusCode.UNAVAILABLE"
    return False


def until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen")


def test_options_of_the_port_reach_it(serving: Callable[..., Serving], hello: Path) -> None:
    age = ("--grpc-max-connection-age", "1h", "--grpc-max-connection-grace", "1s", "--grpc-keepalive-time", "1min")
    server = serving(hello, *age, "--id", "mine", "--max-message", "1MiB")
    with client.InferenceServerClient(server.url) as triton:
        assert triton.get_server_metadata().name == "mine"
        assert triton.infer("hello", [name("Ada")]).as_numpy("length").tolist() == [11]
        with pytest.raises(InferenceServerException, match="larger than max"):
            triton.infer("hello", [name("A" * 2**21)])
    assert server.end(signal.SIGTERM)[0] == 0


# ---- what keeps it from starting


@pytest.mark.parametrize("frontends", ["0", "1"])
def test_a_port_that_is_taken(spawn: Spawn, hello: Path, frontends: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, err = ended(spawn("serve", hello, *ELSEWHERE, "--grpc", address, "--frontends", frontends))
    assert code == 4
    assert f"gRPC can not listen at {address}" in err
    assert "--grpc" in err
    assert "Traceback" not in err


def test_a_file_with_a_mistake(spawn: Spawn, write: Callable[..., Path]) -> None:
    code, err = ended(
        spawn("serve", *ELSEWHERE, write("pipe 1\npipeline p(x: f32) -> (y: f32) {{ return y = g(x) }}\n"))
    )
    assert code == 3
    assert "E0103" in err


def test_a_stage_that_does_not_load(spawn: Spawn, write: Callable[..., Path]) -> None:
    text = """pipe 1
stage broken(name: string[*]) -> (name: string[*]) using python("{module}:Broken")
pipeline p(name: string) -> (name: string) {{ return name = broken(name) }}
"""
    code, err = ended(spawn("serve", *ELSEWHERE, write(text)))
    assert code == 3
    assert "stage `broken`" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--grpc", "8001"), "HOST:PORT"),
        (("--grpc", "127.0.0.1:70000"), "HOST:PORT"),
        (("--tls-cert", "hello.pipe"), "go together"),
        (("--header-forward", "("), "regular expression"),
        (("--max-message", "much"), "no size"),
        (("--tokens", "hello.pipe"), "chmod 600"),
        (("--compat", "other"), "triton"),
        (("--frontends", "2", "--grpc", "none", "--http", "none"), "needs --grpc or --http"),
        (("--frontends", "-1"), "0<=x<=64"),
    ],
)
def test_options_with_mistakes(spawn: Spawn, hello: Path, args: tuple[str, ...], words: str) -> None:
    hello.chmod(0o644)
    code, err = ended(spawn("serve", hello, *ELSEWHERE, *args))
    assert code == 2, err
    assert words in err


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


def test_an_empty_folder(spawn: Spawn, folder: Path) -> None:
    (folder / "empty").mkdir()
    code, err = ended(spawn("serve", *ELSEWHERE, folder / "empty"))
    assert code == 2
    assert "no .pipe files" in err


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("example.org:1", False),
    ],
)
def test_addresses_that_only_this_machine_reaches(address: str, expected: bool) -> None:
    assert loopback(address) == expected


# ---- reload


def test_a_file_that_changes_is_served_anew(serving: Callable[..., Serving], write: Callable[..., Path]) -> None:
    path = write()
    server = serving(path, "--reload")
    (module,) = path.parent.glob("stages_*.py")
    with client.InferenceServerClient(server.url) as triton:
        module.write_text(module.read_text().replace("Hello, ", "Bye, "))
        until(lambda: triton.infer("hello", [name("Ada")]).as_numpy("greeting").tolist() == [b"Bye, Ada!"])
        path.write_text("pipe 1\nnothing")
        until(lambda: "E00" in str(triton.get_model_repository_index()))
        assert triton.infer("hello", [name("Ada")]).as_numpy("length").tolist() == [9]
    code, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "is served as before" in err


def test_a_store_is_copied_and_followed(
    serving: Callable[..., Serving],
    write: Callable[..., Path],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = tmp_path_factory.mktemp("copies")
    monkeypatch.setenv("TMPDIR", str(copies))
    path = write()
    server = serving(f"file://{folder}/hello.pipe", "--reload", "--reload-interval", "50ms")
    (module,) = folder.glob("stages_*.py")
    with client.InferenceServerClient(server.url) as triton:
        assert triton.infer("hello", [name("Ada")]).as_numpy("greeting").tolist() == [b"Hello, Ada!"]
        module.write_text(module.read_text().replace("Hello, ", "Bye, "))
        until(lambda: triton.infer("hello", [name("Ada")]).as_numpy("greeting").tolist() == [b"Bye, Ada!"])
        path.unlink()
        until(lambda: "there is no hello.pipe" in str(triton.get_model_repository_index()))
        assert triton.infer("hello", [name("Ada")]).as_numpy("length").tolist() == [9]
    assert list(copies.glob("pipectl-*"))
    code, err = server.end(signal.SIGTERM)
    assert code == 0
    assert "was copied and loaded again" in err
    assert not list(copies.glob("pipectl-*"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///nothing/there", "there are no files"),
        ("s3://key:SECRET@bucket", "a password has no place in a URL"),
        ("nonsense://there", "fsspec knows no such protocol"),
    ],
)
def test_a_store_that_can_not_be_served(spawn: Spawn, folder: Path, url: str, words: str) -> None:
    code, err = ended(spawn("serve", *ELSEWHERE, url))
    assert code == 2
    assert words in err
    assert "SECRET" not in err


def test_every_protocol_is_there_and_ends(serving: Callable[..., Serving], hello: Path) -> None:
    server = serving(hello)
    body = b'{"name": "Ada"}'
    with urllib.request.urlopen(f"http://{server.urls['HTTP']}/v2/models/hello/generate", body, timeout=20) as answer:
        assert json.loads(answer.read())["greeting"] == "Hello, Ada!"
    with urllib.request.urlopen(f"http://{server.urls['metrics']}/metrics", timeout=20) as answer:
        assert b'pipe_requests_total{outcome="success",pipeline="hello",reason=""} 1.0' in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{server.urls['metrics']}/v2", timeout=20)
    assert server.end(signal.SIGTERM) == (0, "")


def test_a_protocol_can_be_left_out(spawn: Spawn, hello: Path) -> None:
    process = spawn("serve", hello, "--grpc", "none", "--http", "127.0.0.1:0", "--metrics", "none")
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[2].startswith("HTTP at ")
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[0] == ""
