"""An event loop on a thread of its own, for tests that are no coroutines themselves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")
PATIENCE = 30.0


class Live(Generic[V]):
    """What an asynchronous context gives, and the loop it lives on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, value: V) -> None:
        self.loop = loop
        self.value = value

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that other tasks or threads do, and that has no event of its own."""
    while not condition():  # noqa: ASYNC110 - as said
        await asyncio.sleep(0.001)


@contextmanager
def live(context: AbstractAsyncContextManager[V]) -> Iterator[Live[V]]:
    """Enter a context on a loop that runs until the block is left."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="test-loop")
    thread.start()

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)

    async def enter() -> V:
        return await context.__aenter__()

    async def leave() -> None:
        await context.__aexit__(None, None, None)

    try:
        value = run(enter())
        try:
            yield Live(loop, value)
        finally:
            run(leave())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
