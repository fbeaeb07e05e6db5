"""The responses that one answered request has: one, or with `stream` outputs one for each element.

    Response with handles --parts--> {output: value}, .. as elements come

An output of type `stream T` holds an iterable in the engine's response, asynchronous or not. What is no stream comes
with the first part, or with the last if it is there only when the streams have ended. Closing the generator closes the
handles, which ends the work behind them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any

from backends.values import Value
from executor.streaming.answer import StreamResponse

_END = object()


async def parts(response: Mapping[str, Value], streams: Iterable[str]) -> AsyncGenerator[dict[str, Value]]:
    """All parts in the order they are there. Raises what a stream raises, after the elements before it."""
    handles = {name: response[name] for name in streams if response.get(name) is not None}
    told = dict.fromkeys(handles)
    first = {name: value for name, value in response.items() if name not in told}
    told.update(dict.fromkeys(first))
    if first or not handles:
        yield first
    async with aclosing(_merged(handles)) as merged:
        async for name, element in merged:
            yield {name: element}
    if isinstance(response, StreamResponse):
        async for _ in response.end:  # has no elements: it ends, or fails, with the request
            pass
    last = {name: value for name, value in response.items() if name not in told}
    if last:
        yield last


async def _merged(handles: Mapping[str, Any]) -> AsyncGenerator[tuple[str, Value]]:
    """Elements of several streams as they come, in order within each."""
    iterators = {name: elements(handle) for name, handle in handles.items()}
    coming = {asyncio.ensure_future(anext(it)): name for name, it in iterators.items()}
    try:
        while coming:
            done, _ = await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                name = coming.pop(task)
                try:
                    element = task.result()
                except StopAsyncIteration:
                    continue
                yield name, element
                coming[asyncio.ensure_future(anext(iterators[name]))] = name
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        for iterator in iterators.values():
            await iterator.aclose()


async def elements(handle: Any) -> AsyncGenerator[Value]:
    """The elements of one handle; a handle that waits for each does so on another thread."""
    try:
        if hasattr(handle, "__aiter__"):
            async for element in handle:
                yield element
            return
        iterator = iter(handle)
        while (element := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield element
    finally:
        close = getattr(handle, "close", None)
        if close is not None:
            close()
