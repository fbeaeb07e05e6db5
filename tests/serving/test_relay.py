"""Answers of several requests on their way to one reader of a gRPC stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from serving.grpc.inference import Failure, Relay


async def endless() -> AsyncGenerator[bytes | Failure]:
    while True:
        yield b"one"


def test_a_reader_that_leaves_a_full_queue_leaves_no_task() -> None:
    """Requests end, and the end of the requests is told, only after the reader has gone."""

    async def scenario() -> set[str]:
        relay = Relay(2)
        await relay.room()
        relay.start(endless(), ordered=False)
        answers = relay.answers()
        assert await anext(answers) == b"one"
        while not relay._queue.full():  # noqa: ASYNC110 - the producer's next steps
            await asyncio.sleep(0)
        tasks = tuple(relay.tasks)
        relay.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        relay.close()
        await asyncio.sleep(0)
        return {t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()}

    assert asyncio.run(scenario()) == set()
