"""The same work written by hand in torch.

OneStream    all stages in one stream, as a script would call them
Captured     branches in streams of their own, all of it captured in one CUDA graph: the best that is written by hand
Stepwise     the host waits behind each stage, and the next one gets a copy: how Triton's ensembles hand over

Requests come from page-locked memory and answers go there, so that copies wait for nothing.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np

from .costs import INFLIGHT, Cost, cost
from .works import Node, Work


class Place:
    """Page-locked memory of one request and its answer, and the event behind it."""

    def __init__(self, torch: Any, x: Any, answer: Any) -> None:
        self.x = torch.empty(x.shape, dtype=torch.float32, pin_memory=True)
        self.answer = torch.empty(answer.shape, dtype=torch.float32, pin_memory=True)
        self.event = torch.cuda.Event()


class ByHand(ABC):
    """What the ways have in common: a ring of places."""

    def __init__(self, work: Work, x: Any, on: str) -> None:
        import torch

        self.torch = torch
        self.work = work
        self.on = on
        self.x = x
        self.stages = work.stages("torch", on)
        self.stream = torch.cuda.Stream(on)
        with torch.cuda.stream(self.stream):
            self.sample = torch.from_numpy(x).to(on)
            for _ in range(3):  # libraries choose their kernels and take their workspace
                answer = work.answer(self.stages, self.sample)
        self.stream.synchronize()
        self.places = [Place(torch, x, answer) for _ in range(INFLIGHT)]

    @abstractmethod
    def ask(self) -> Any:
        """The answer to one request."""

    @abstractmethod
    def per_second(self, count: int) -> float:
        """Requests a second, of `count` in a row."""

    def cost(self, count: int) -> Cost:
        return cost(self.ask, self.per_second, count)


class Enqueued(ByHand):
    """A request is enqueued as a whole, on one stream."""

    @abstractmethod
    def launch(self, place: Place) -> None:
        """Enqueue all of a request."""

    def ask(self) -> Any:
        place = self.places[0]
        self._begin(place)
        place.event.synchronize()
        return place.answer.numpy().copy()

    def _begin(self, place: Place) -> None:
        place.x.numpy()[...] = self.x
        self.launch(place)
        place.event.record(self.stream)

    def per_second(self, count: int) -> float:
        start = time.perf_counter()
        for i in range(count):
            place = self.places[i % INFLIGHT]
            if i >= INFLIGHT:
                place.event.synchronize()
                place.answer.numpy().copy()
            self._begin(place)
        self.stream.synchronize()
        return count / (time.perf_counter() - start)


class OneStream(Enqueued):
    """(a)"""

    def launch(self, place: Place) -> None:
        with self.torch.cuda.stream(self.stream):
            answer = self.work.answer(self.stages, place.x.to(self.on, non_blocking=True))
            place.answer.copy_(answer, non_blocking=True)


class Captured(Enqueued):
    """(b)"""

    def __init__(self, work: Work, x: Any, on: str) -> None:
        super().__init__(work, x, on)
        torch = self.torch
        self.graph = torch.cuda.CUDAGraph()
        self.streams = chains(work.nodes)
        others = [torch.cuda.Stream(on) for _ in range(1 + max(self.streams.values()))]
        for stream in others[1:]:
            with torch.cuda.stream(stream):
                work.answer(self.stages, self.sample)
            stream.synchronize()
        with torch.cuda.graph(self.graph, stream=self.stream):
            self.answer = self._captured([self.stream, *others[1:]])
        self.stream.synchronize()

    def _captured(self, streams: list[Any]) -> Any:
        """The nodes on the streams of their chains, each behind what it reads."""
        torch = self.torch
        begin = torch.cuda.Event()
        begin.record(streams[0])
        values, events = {"x": self.sample}, {"x": begin}
        for node in self.work.nodes:
            stream = streams[self.streams[node.name]]
            for read in node.reads:
                stream.wait_event(events[read])
            with torch.cuda.stream(stream):
                inputs = {f"x{i}": values[read] for i, read in enumerate(node.reads)}
                values[node.name] = self.stages[node.name](**inputs)
                events[node.name] = torch.cuda.Event()
                events[node.name].record(stream)
        for event in events.values():
            streams[0].wait_event(event)
        self.kept = values  # their memory is the graph's
        return values[self.work.nodes[-1].name]

    def launch(self, place: Place) -> None:
        with self.torch.cuda.stream(self.stream):
            self.sample.copy_(place.x, non_blocking=True)
            self.graph.replay()
            place.answer.copy_(self.answer, non_blocking=True)


class Stepwise(ByHand):
    """(c): a thread for each request, as each of Triton's models has threads of its own."""

    def __init__(self, work: Work, x: Any, on: str) -> None:
        super().__init__(work, x, on)
        self.free: SimpleQueue[tuple[Any, Place]] = SimpleQueue()
        for place in self.places[: INFLIGHT // 2]:
            self.free.put((self.torch.cuda.Stream(on), place))

    def ask(self) -> Any:
        torch = self.torch
        stream, place = self.free.get()
        place.x.numpy()[...] = self.x
        with torch.cuda.device(self.on), torch.cuda.stream(stream):
            values = {"x": place.x.to(self.on, non_blocking=True)}
            for node in self.work.nodes:
                inputs = {f"x{i}": values[read].clone() for i, read in enumerate(node.reads)}
                values[node.name] = self.stages[node.name](**inputs)
                stream.synchronize()
            place.answer.copy_(values[self.work.nodes[-1].name], non_blocking=True)
            stream.synchronize()
        answer = place.answer.numpy().copy()
        self.free.put((stream, place))
        return answer

    def per_second(self, count: int) -> float:
        with ThreadPoolExecutor(INFLIGHT // 2) as pool:
            start = time.perf_counter()
            for done in [pool.submit(self.ask) for _ in range(count)]:
                done.result()
            return count / (time.perf_counter() - start)


WAYS: dict[str, Callable[[Work, Any, str], ByHand]] = {
    "one stream": OneStream,
    "one graph": Captured,
    "stepwise": Stepwise,
}


def chains(nodes: tuple[Node, ...]) -> dict[str, int]:
    """A stream for each node: that of the first node it reads which nobody has gone on with, else a new one."""
    found: dict[str, int] = {}
    ends = {"x": 0}
    count = 1
    for node in nodes:
        behind = next((read for read in node.reads if read in ends), None)
        if behind is None:
            found[node.name], count = count, count + 1
        else:
            found[node.name] = ends.pop(behind)
        ends[node.name] = found[node.name]
    return found


def agree(found: Any, expected: Any) -> bool:
    """Whether two answers are the same, up to the order in which sums are made."""
    return bool(np.allclose(found, expected, rtol=1e-3, atol=1e-3))
