"""Events of one stream beside the rest of what an event loop does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from serving.access import Caller
from serving.http.infer import Asked, InferApp
from serving.operations.inference import Inference
from serving.tensors import InferAnswer, InferCall

from .programs import running

EVENTS = 500


def test_a_stream_that_is_always_ready_lets_others_have_their_turn(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its elements and its client never make it wait; a task beside it still runs for each event."""

    async def ready(self: Inference, caller: Caller, call: InferCall) -> AsyncGenerator[InferAnswer]:
        for _ in range(EVENTS):
            yield InferAnswer("rows", "1", "", [], {}, False)

    monkeypatch.setattr(Inference, "stream", ready)
    body = b'{"x": [[0, 1, 2, 3]]}'

    async def scenario() -> int:
        turns, events = 0, 0

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal events
            events += message["type"] == "http.response.body"

        async def other() -> None:
            nonlocal turns
            while events < EVENTS:
                turns += 1
                await asyncio.sleep(0)

        async with running(pipe) as ops:
            app = InferApp(ops)
            scope = {"type": "http", "method": "POST", "path": "/v2/models/rows/generate_stream", "headers": []}
            beside = asyncio.create_task(other())
            await app(Asked("rows", "", "generate_stream"), scope, receive, send)
            await beside
        return turns

    assert asyncio.run(scenario()) >= EVENTS - 1
