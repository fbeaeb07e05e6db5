"""Both ends of a link in one process: messages, tensors, what is freed, and a side that is gone or damaged."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

import numpy as np
import pytest

from backends.ipc.segments import SMALLEST
from executor.errors import Overloaded, StageFailed
from serving.access import ANYONE, STRANGER, Caller
from serving.errors import InvalidArgument, PermissionDenied, RequestError, TooLarge
from serving.frontends.desk import WINDOW, Desk, ListenError
from serving.frontends.faults import KINDS, to_error, to_failed
from serving.frontends.link import Link
from serving.frontends.messages import Ask, Cancel, Failed, Frame, Seen, Stop, encode, from_frontend, from_parent
from serving.frontends.ports import Port
from serving.frontends.remote import Remote
from serving.frontends.remote_repository import RemoteRepository
from serving.frontends.tensors import INLINE, Packer, pack_answer, pack_call, unpack_answer, unpack_call
from serving.server import BindError
from serving.tensors import InferAnswer, InferCall, TensorIn, TensorOut, Wanted
from tests.serving.live import until
from tests.serving.programs import running

LARGE = np.arange(SMALLEST // 4 + 7, dtype=np.float32)


class Pair:
    """A frontend's link and its parent's, with what came in at each."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.up: list[Any] = []
        self.down: list[Any] = []
        self.ended: list[str] = []
        self.parent = Link(ours, from_frontend, self.up.append, lambda: self.ended.append("parent"))
        self.frontend = Link(theirs, from_parent, self.down.append, lambda: self.ended.append("frontend"))


def test_a_call_crosses_whole_and_its_memory_comes_back() -> None:
    async def cross() -> None:
        pair = Pair()
        inputs = [
            TensorIn("raw", "FP32", [LARGE.size], LARGE.tobytes()),
            TensorIn("view", "UINT8", [3], memoryview(b"abc")),
            TensorIn("items", "BYTES", [2, 1], [["é"], [b"\xff"]]),
            TensorIn("region", "FP32", [1], None, {"shared_memory_region": "r", "shared_memory_byte_size": 4}),
        ]
        call = InferCall("m", "2", "id", inputs, [Wanted("y", {"classification": 3})], {"a": 1.5}, 5.0, {"h": "v"}, 7)
        with Packer(pair.frontend.arena) as packer:
            pair.frontend.post(pack_call(1, STRANGER, call, packer, stream=False))
        assert pair.frontend.arena.taken == 1
        await until(lambda: pair.up)
        came = unpack_call(pair.up[0], pair.parent.attached)
        assert [(t.name, t.datatype, list(t.shape), dict(t.parameters)) for t in came.inputs] == [
            (t.name, t.datatype, list(t.shape), dict(t.parameters)) for t in inputs
        ]
        assert bytes(came.inputs[0].data) == LARGE.tobytes()
        assert [bytes(came.inputs[1].data), came.inputs[2].data, came.inputs[3].data] == [
            b"abc",
            [["é"], [b"\xff"]],
            None,
        ]
        assert came.timeout is not None
        assert 0 < came.timeout <= 5.0
        assert (came.model, came.version, came.id, came.company, came.outputs) == ("m", "2", "id", 7, call.outputs)
        assert (came.parameters, came.headers) == ({"a": 1.5}, {"h": "v"})
        del came
        pair.up.clear()
        await until(lambda: not pair.frontend.arena.taken)  # without any further message
        pair.parent.close()

    asyncio.run(cross())


def test_an_answer_crosses_whole() -> None:
    async def cross() -> None:
        pair = Pair()
        outputs = [
            TensorOut("x", "FP32", LARGE.shape, LARGE),
            TensorOut("small", "INT64", (2, 2), np.arange(4).reshape(2, 2)),
            TensorOut("t", "BYTES", (2,), [b"", b"b" * INLINE * 2]),
            TensorOut("gone", "FP32", (1,), None, {"shared_memory_region": "r"}),
        ]
        with Packer(pair.parent.arena) as packer:
            pair.parent.post(pack_answer(9, InferAnswer("m", "1", "", outputs, {"f": True}), packer))
        await until(lambda: pair.down)
        came = unpack_answer(pair.down[0], pair.frontend.attached)
        assert (came.model, came.parameters, came.final) == ("m", {"f": True}, True)
        assert came.outputs[0].data.tobytes() == LARGE.tobytes()
        assert not came.outputs[0].data.flags.writeable
        assert came.outputs[1].data.tolist() == [[0, 1], [2, 3]]
        assert came.outputs[2].data == outputs[2].data
        assert came.outputs[3].data is None
        pair.parent.close()

    asyncio.run(cross())


def test_messages_of_one_turn_wake_the_other_side_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def cross() -> None:
        pair = Pair()
        frames: list[int] = []
        take = pair.parent._take

        def counted(frame: Any) -> None:
            frames.append(len(frame.messages))
            take(frame)

        monkeypatch.setattr(pair.parent, "_take", counted)
        for number in range(50):
            pair.frontend.post(Cancel(number))
        await until(lambda: len(pair.up) == 50)
        assert frames == [50]
        assert pair.up == [Cancel(n) for n in range(50)]
        pair.parent.close()

    asyncio.run(cross())


def test_more_than_the_socket_takes_comes_in_order() -> None:
    async def cross() -> None:
        pair = Pair()
        body = os.urandom(3_000_000)
        for number in range(3):
            pair.frontend.post(Ask(number, None, "http", "POST", "/", {}, body))
            await asyncio.sleep(0)  # a frame of its own
            pair.frontend.post(Cancel(number))
        await until(lambda: len(pair.up) == 6)
        assert pair.up[::2] == [Ask(n, None, "http", "POST", "/", {}, body) for n in range(3)]
        await pair.frontend.sent()
        pair.parent.close()

    asyncio.run(cross())


@pytest.mark.parametrize("sent", [b"", struct.pack("<I", 5) + b"\xc1abcd", struct.pack("<I", 2**31) + b"x"])
def test_a_side_that_is_gone_or_damaged_is_closed(sent: bytes) -> None:
    async def cross() -> None:
        ours, theirs = socket.socketpair()
        ended: list[bool] = []
        link = Link(ours, from_frontend, print, lambda: ended.append(True))
        link.arena.reserve(10)  # in use when the other side ends
        theirs.sendall(sent)
        theirs.close()
        await until(lambda: ended)
        link.post(Stop(1))  # nobody reads it, and nobody minds
        assert ended == [True]
        assert link.arena.size == 0

    asyncio.run(cross())


def test_a_number_beyond_msgpack_is_the_callers_mistake_and_costs_no_memory() -> None:
    async def cross() -> None:
        pair = Pair()
        inputs = [TensorIn("x", "FP32", [2**70], LARGE.tobytes())]
        with pytest.raises(InvalidArgument, match="none of the protocol"), Packer(pair.frontend.arena) as packer:
            pair.frontend.post(pack_call(1, ANYONE, InferCall("m", inputs=inputs), packer, stream=False))
        assert pair.frontend.arena.taken == 0
        pair.parent.close()

    asyncio.run(cross())


# ---- failures


@pytest.mark.parametrize("kind", list(KINDS.values()))
def test_every_failure_keeps_its_class_and_words(kind: type[RequestError]) -> None:
    error = kind("what went wrong", pipeline="p", node="p.s", instance=1, request_id="7")
    failed: Failed = from_parent.decode(encode_frame(to_failed(3, error))).messages[0]  # type: ignore[assignment]  # it is
    assert failed.number == 3
    came = to_error(failed)
    assert type(came) is kind
    assert str(came) == str(error)


def encode_frame(message: Any) -> bytes:
    return encode(Frame([message], [], [], []))


def test_an_unknown_failure_becomes_its_nearest_known_class() -> None:
    class Special(StageFailed):
        pass

    assert type(to_error(to_failed(1, Special("x")))) is StageFailed
    assert "ZeroDivisionError" in str(to_error(to_failed(1, ZeroDivisionError("secret"))))
    assert "secret" not in str(to_error(to_failed(1, ZeroDivisionError("secret"))))
    late = Overloaded("full")
    late.retry_after = 2.5
    late.started = False
    assert not to_error(to_failed(1, late)).started
    assert getattr(to_error(to_failed(1, late)), "retry_after", None) == 2.5
    assert type(to_error(to_failed(1, TooLarge("\ud800")))) is TooLarge


# ---- the parent's side


def test_groups_are_checked_where_the_operations_run(pipe: Any) -> None:
    """Whatever a frontend lets through, the parent does not."""

    async def cross() -> None:
        async with running(pipe) as operations:
            ours, theirs = socket.socketpair()
            desk = Desk(operations, ours)
            remote = Remote(Link(theirs, from_parent, lambda m: remote.take(m), lambda: None), RemoteRepository())
            call = InferCall("rows", inputs=[TensorIn("x", "FP32", [1, 4], np.zeros(4, np.float32).tobytes())])
            assert (await remote.infer(ANYONE, call)).outputs[0].shape == (1, 4)
            with pytest.raises(RequestError, match="bearer token for `inference`"):
                await remote.infer(STRANGER, call)
            with pytest.raises(RequestError, match="bearer token for `inference`"):
                await anext(remote.stream(STRANGER, call))
            with pytest.raises(PermissionDenied, match="`ada` is not for `statistics`"):
                await remote.ask_grpc(Caller("ada", frozenset({"inference"})), "ModelStatistics", b"")
            with pytest.raises(InvalidArgument, match="no request of ModelReady"):
                await remote.ask_grpc(ANYONE, "ModelReady", b"\xff")
            desk.close()

    asyncio.run(cross())


def test_a_frontend_that_ends_takes_its_requests_along_and_says_so(pipe: Any) -> None:
    async def cross() -> None:
        async with running(pipe) as operations:
            ours, theirs = socket.socketpair()
            desk = Desk(operations, ours)
            hanging = asyncio.Event()

            async def never(*_: object) -> None:
                hanging.set()
                await asyncio.Event().wait()

            operations.inference.infer = never  # type: ignore[method-assign, assignment]  # an engine that takes long
            remote = Remote(
                link := Link(theirs, from_parent, lambda m: remote.take(m), lambda: None), RemoteRepository()
            )
            asked = asyncio.create_task(remote.infer(ANYONE, InferCall("rows")))
            await hanging.wait()
            link.close()
            await desk.gone.wait()
            await desk.idle()
            with pytest.raises(ListenError, match="ended before"):
                desk.listening.result()
            asked.cancel()

    asyncio.run(cross())


def test_a_message_that_can_not_be_taken_ends_the_link(pipe: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Or everybody behind it would wait for ever."""

    async def cross() -> None:
        async with running(pipe) as operations:
            ours, theirs = socket.socketpair()
            desk = Desk(operations, ours)

            def mistaken(message: object) -> None:
                raise AttributeError("no such field")

            link = Link(theirs, from_parent, mistaken, lambda: None)
            link.post(Ask(1, None, "grpc", "ServerLive", "", {}, b""))
            await asyncio.wait_for(desk.gone.wait(), 10)
            assert link.closed

    asyncio.run(cross())
    assert "no such field" in caplog.text


def test_a_stream_waits_for_its_reader(pipe: Any) -> None:
    async def cross() -> None:
        async with running(pipe) as operations:
            made = closed = 0

            async def many(*_: object) -> Any:
                nonlocal made, closed
                try:
                    while True:
                        made += 1
                        yield InferAnswer("m", "1", "", [])
                finally:
                    closed += 1

            operations.inference.stream = many  # type: ignore[method-assign, assignment]  # a pipeline without an end
            ours, theirs = socket.socketpair()
            desk = Desk(operations, ours)
            remote = Remote(Link(theirs, from_parent, lambda m: remote.take(m), lambda: None), RemoteRepository())
            answers = remote.stream(ANYONE, InferCall("m"))
            await anext(answers)
            await until(lambda: made == WINDOW + 1)
            for _ in range(5):
                await anext(answers)
            await until(lambda: made == WINDOW + 6)
            await answers.aclose()
            await until(lambda: closed)
            await desk.idle()
            desk.close()

    asyncio.run(cross())


def test_figures_come_from_the_frontend(pipe: Any) -> None:
    async def cross() -> None:
        async with running(pipe) as operations:
            ours, theirs = socket.socketpair()
            desk, link = Desk(operations, ours), Link(theirs, from_parent, print, lambda: None)
            link.post(Seen(12))
            link.post(Cancel(99))  # of a request that has its answer
            await until(lambda: desk.connections == 12)
            desk.close()

    asyncio.run(cross())


# ---- ports


def test_a_port_is_shared_with_our_frontends_and_nobody_elses() -> None:
    async def hold() -> None:
        port = Port("gRPC", "127.0.0.1:0")
        await port.start()
        with socket.socket() as listener:  # as a frontend does
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", port.port))
            listener.listen()
            with pytest.raises(BindError, match=f"gRPC can not listen at 127.0.0.1:{port.port}"):
                await Port("gRPC", port.address).start()
            shared = Port("gRPC", port.address, shared=True)
            await shared.start()
            await shared.stop(0)
        await port.stop(0)

    asyncio.run(hold())
