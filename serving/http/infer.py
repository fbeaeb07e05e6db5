"""Calls of pipelines: `infer`, `generate` and `generate_stream`, as one ASGI callable.

It stands before the router, because it is called for every request: a path is matched with one regular expression,
and nothing is made that the answer does not need.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from serving.access import Caller
from serving.errors import RequestError, text
from serving.front import Front
from serving.tensors import InferCall

from .connection import GONE, TASK
from .decode import infer_call
from .encode import infer_reply
from .encoding import LEAST, accepted, compressed
from .generate import generate_call, generated
from .replies import Receive, Reply, Scope, Send, error_reply, json_reply
from .request import OFF_LOOP, Head, body_of, caller_of, head_of

PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/(infer|generate|generate_stream)")
EVENTS = b"text/event-stream; charset=utf-8"


@dataclass(slots=True)
class Asked:
    """A call of a pipeline, before its body is read."""

    model: str
    version: str
    verb: str


def asked(scope: Scope) -> Asked | None:
    """What a request calls, if it is a call of a pipeline."""
    if scope["method"] != "POST":
        return None
    found = PATH.fullmatch(scope["path"])
    return None if found is None else Asked(found[1], found[2] or "", found[3])


class InferApp:
    """Answers calls of pipelines."""

    def __init__(self, operations: Front) -> None:
        self._operations = operations
        self._forward = operations.options.forwarded()

    async def __call__(self, call: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call. A client that leaves ends it, and what it started."""
        scope[TASK] = asyncio.current_task()
        try:
            reply = await self._reply(call, scope, receive, send)
        except asyncio.CancelledError:
            if GONE not in scope:
                raise
            return
        except Exception as error:
            reply = error_reply(error, self._operations.options)
        finally:
            scope.pop(TASK, None)
        if reply is not None:
            await reply.send(send)

    async def _reply(self, call: Asked, scope: Scope, receive: Receive, send: Send) -> Reply | None:
        operations = self._operations
        head = head_of(scope, self._forward)
        caller = caller_of(head, operations.access)
        body = await body_of(scope, receive, head, operations.options.max_message)
        if call.verb == "generate_stream":
            return await self._events(caller, self._generate(call, body, head), send)
        if call.verb == "generate":
            answer = await operations.inference.infer(caller, self._generate(call, body, head))
            reply = json_reply(generated(answer))
        else:
            asked = infer_call(call.model, call.version, body, head)
            reply = infer_reply(await operations.inference.infer(caller, asked), asked)
        return await _compressed(reply, head) if head.accept_encoding else reply

    def _generate(self, call: Asked, body: bytes, head: Head) -> InferCall:
        served = self._operations.repository.catalog.pipeline(call.model, call.version)
        return generate_call(served, call.version, body, head)

    async def _events(self, caller: Caller, call: InferCall, send: Send) -> Reply | None:
        """Responses as events. A failure before the first one is a reply of its own, a later one the last event."""
        started = False
        async with aclosing(self._operations.inference.stream(caller, call)) as answers:
            try:
                async for answer in answers:
                    if not started:
                        started = True
                        await _start(send)
                    await _event(send, generated(answer))
                    await asyncio.sleep(0)  # a stream that is always ready must not keep the others from their turn
            except RequestError as error:
                if not started:
                    raise
                await _event(send, {"error": text(error)})
        if not started:
            await _start(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return None


async def _start(send: Send) -> None:
    headers = [(b"content-type", EVENTS), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _event(send: Send, value: dict[str, object]) -> None:
    body = b"data: " + msgspec.json.encode(value) + b"\n\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _compressed(reply: Reply, head: Head) -> Reply:
    """The same reply in an encoding the client takes, where it is large enough."""
    name = accepted(head.accept_encoding)
    if not name or reply.length < LEAST:
        return reply
    if reply.length > OFF_LOOP:
        body = await asyncio.to_thread(compressed, reply.body, name)
    else:
        body = compressed(reply.body, name)
    headers = [*reply.headers, (b"content-encoding", name.encode()), (b"vary", b"accept-encoding")]
    return Reply(reply.status, (body,), reply.type, headers)
