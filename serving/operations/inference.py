"""Inference: a call of any protocol into the engine and back.

    InferCall -> Options, values by port -> Engine.asubmit -> Response -> InferAnswer, or several

Everything about a call is checked before the engine sees it. A deployment is held until the answer is made, so that a
reload waits for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING

from backends.values import Value
from executor.errors import DeadlineExceeded, RequestError, Unavailable
from executor.request import Response
from executor.streaming.answer import StreamResponse
from executor.streaming.pieces import Pieces
from serving.access import Caller
from serving.convert import Options, options
from serving.convert.parameters import FINAL, TIMINGS
from serving.convert.regions import fill, read_regions
from serving.deployment import Served
from serving.errors import Unsupported
from serving.options import ServerOptions
from serving.repository import Repository
from serving.shared_memory import Lease, SharedMemory
from serving.tensors import InferAnswer, InferCall, Parameter, TensorIn

from .guard import guarded
from .timings import timings

if TYPE_CHECKING:
    from serving.telemetry import Telemetry

    from .settings import Settings


class Inference:
    """Answers calls, on the event loop of the server."""

    def __init__(
        self,
        repository: Repository,
        options: ServerOptions,
        shared: SharedMemory,
        settings: Settings,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._repository = repository
        self._options = options
        self._shared = shared
        self._settings = settings
        self._telemetry = telemetry

    @guarded("inference")
    async def infer(self, caller: Caller, call: InferCall) -> InferAnswer:
        """The one response of a call. Unsupported for a call that asks for streams."""
        served = self._find(call)
        wanted = served.codec.wanted(call.outputs)
        if served.codec.streams and served.codec.streaming(wanted):
            raise Unsupported(f"pipeline `{served.name}` gives a stream of responses; ask for a stream")
        lease = self._lease(caller, call)
        deployment = served.deployment
        deployment.active += 1
        try:
            given = options(call)
            response = await self._submit(served, call, wanted, given, lease)
            self._ended(served, call, response)
            return _answer(served, call, response, lease, {TIMINGS: timings(response)} if given.timings else None)
        finally:
            deployment.release()
            if lease is not None:
                lease.release()

    @guarded("inference")
    async def stream(self, caller: Caller, call: InferCall) -> AsyncGenerator[InferAnswer]:
        """All responses of a call: one, or with streams one for each element and, if the call asks for it, an empty
        last one. Closing the generator ends the work behind it."""
        served = self._find(call)
        wanted = served.codec.wanted(call.outputs)
        given = options(call)
        lease = self._lease(caller, call)
        deployment = served.deployment
        deployment.active += 1
        try:
            response = await self._submit(served, call, wanted, given, lease)
            if not isinstance(response, StreamResponse):
                yield _answer(served, call, response, lease, {FINAL: True})
            else:
                with Pieces(response, served.codec.groups) as pieces:
                    async for piece in pieces:
                        yield _answer(served, call, piece, lease, {FINAL: False}, final=False)
                if given.empty_final:
                    yield _answer(served, call, {}, None, {FINAL: True})
            self._ended(served, call, response)
        finally:
            deployment.release()
            if lease is not None:
                lease.release()

    def streams(self, model: str, version: str = "") -> bool:
        """Whether a pipeline gives any number of responses; False for one that is not there."""
        try:
            return self._repository.catalog.pipeline(model, version).codec.streams
        except RequestError:
            return False

    def _find(self, call: InferCall) -> Served:
        if self._repository.draining:
            raise Unavailable("the server is shutting down")
        return self._repository.catalog.pipeline(call.model, call.version)

    def _lease(self, caller: Caller, call: InferCall) -> Lease | None:
        """Held regions, for a call that names some."""
        used = any("shared_memory_region" in t.parameters for t in call.inputs if t.parameters) or any(
            "shared_memory_region" in w.parameters for w in call.outputs if w.parameters
        )
        return self._shared.lease(caller.name) if used else None

    async def _submit(
        self, served: Served, call: InferCall, wanted: tuple[str, ...] | None, given: Options, lease: Lease | None
    ) -> Response:
        def memory(tensor: TensorIn) -> TensorIn:
            return read_regions(tensor, lease)

        values = served.codec.inputs(call.inputs, memory)
        if given.timeout == 0:
            raise DeadlineExceeded("the deadline had passed when the request came in", pipeline=served.name)
        deployment = served.deployment
        deployment.last_ms[served.name] = time.time_ns() // 1_000_000
        deployment.gather.arrived(asyncio.get_running_loop().time(), max(deployment.active, call.company))
        began = time.monotonic_ns()
        try:
            return await deployment.engine.asubmit(
                served.name,
                values,
                outputs=wanted,
                timeout=given.timeout,
                priority=given.priority,
                id=call.id or None,
                headers=call.headers or None,
                sequence=given.sequence,
            )
        except RequestError as error:
            if self._telemetry is not None:
                self._telemetry.failed(served, call, began, error)
            raise

    def _ended(self, served: Served, call: InferCall, response: Response) -> None:
        """A request has its whole answer: for those who look on."""
        if self._telemetry is not None:
            self._telemetry.answered(served, call, response)
        if self._settings.tracing:
            self._settings.trace(served, response)


def _answer(
    served: Served,
    call: InferCall,
    values: Mapping[str, Value],
    lease: Lease | None,
    parameters: Mapping[str, Parameter] | None = None,
    *,
    final: bool = True,
) -> InferAnswer:
    outputs = served.codec.outputs(values, call.outputs)
    if lease is not None:
        outputs = fill(outputs, call.outputs, lease)
    return InferAnswer(served.name, str(served.version), call.id, outputs, parameters or {}, final)
