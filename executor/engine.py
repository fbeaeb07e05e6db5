"""The engine: requests in, cohorts through the graph, every request answered exactly once.

    submit -> check -> Door -> enter -> inboxes -> (worker) Run -> propagate -> .. -> egress -> deliver

Threads and one short lock. Decisions (doors, inboxes, joins, the end of a request) happen under the lock, on the
thread that changed the state; tensors move outside it. A worker that made a cohort goes on with its consumer on the
same thread where that needs no queue. `end` is the only place where a request ends.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from backends.device import Accelerator
from pipeline_dsl.plan import Plan

from .admission import Door
from .budget import RetryBudget
from .clock import Clock, SystemClock
from .cohort import NEVER
from .devices import replanned
from .element import Child, Element
from .errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    LoadError,
    Overloaded,
    RequestError,
    Unavailable,
)
from .flow import Flow
from .fused import FusedRuntime, sets_of
from .ingress import Ingress
from .kinds import doors_of, run_of, stage_of
from .loading import load, unload
from .ranges import Ranges
from .request import Job, Outcome, Request, Response, Sink, deliver
from .resources import Resources, totals_of
from .scope import Aftermath, forget
from .sequence import SequenceInfo
from .sequence_door import SequenceDoor
from .stage import StageRuntime
from .stats import PipelineStats, Snapshot
from .streaming.answer import StreamAnswer
from .streaming.waits import check_waits
from .survey import leftovers, snapshot
from .tap import Tap
from .trace import Recorder, RequestRecord
from .workers import Worker

MAX_THREADS = 32
"""Worker threads at most, however many instances there are."""


Tick = Callable[[asyncio.AbstractEventLoop], None]
Schedule = Callable[[asyncio.AbstractEventLoop, Tick], object]
"""Calls the second soon on the first."""


def _at_the_end_of_this_turn(loop: asyncio.AbstractEventLoop, tick: Tick) -> None:
    loop.call_soon(tick, loop)


def _not_started(refused: list[tuple[Request, RequestError]]) -> None:
    """Nothing ran for those refused at the door. A function: an error's traceback holds no variable of its frame."""
    for _, error in refused:
        error.started = False


class Engine:
    """A running plan. `start` before anything else; `stop` ends it for good. All other methods are thread-safe."""

    def __init__(
        self, plan: Plan, clock: Clock | None = None, recorder: Recorder | None = None, tap: Tap | None = None
    ) -> None:
        self.plan = plan
        self.clock: Clock = clock or SystemClock()
        self.recorder = recorder
        self.lock = threading.Lock()
        self.resources = Resources(totals_of(plan.stages, plan.resources))
        self.stages = [stage_of(s, self.clock, self.resources) for s in plan.stages]
        self.sets: list[FusedRuntime] = []
        """Stages that run as one; none where somebody looks at every call's values, or waits for each call."""
        self._apart = tap is not None or plan.serial
        self.doors = doors_of(plan, self.stages, self.clock)
        self._stats = {name: PipelineStats(name) for name in plan.pipelines}
        self.ingress = Ingress(plan, self.stages, self._refused)
        self._coming: dict[asyncio.AbstractEventLoop, list[Request]] = {}
        self.schedule: Schedule = _at_the_end_of_this_turn
        """When the requests that an event loop submits come in; a server may let them wait for one another."""
        self._workers = Worker("pipectl-worker", 0)
        self._state = "new"
        self._devices: tuple[Accelerator, ...] = ()
        """Those that its stages run on, beside the host."""
        self._sequences_go_on = False
        """While it drains, requests of open sequences are taken still."""
        self._idle = threading.Condition(self.lock)
        for door in self.doors.values():
            if isinstance(door, SequenceDoor):
                door.wake = partial(self._call_door, door)
        accelerated = not all(stage.on_host for stage in plan.stages)
        self.flow = Flow(
            self.clock, self.lock, self._workers, self.end, self._rested, recorder, tap, accelerated=accelerated
        )
        for name, pipeline in plan.pipelines.items():
            if any(output.type.stream for output in pipeline.outputs):
                self.flow.streams.declare(name)

    # ---- life

    def start(self) -> None:
        """Load and warm up all stages. LoadError if one fails; then nothing is left running.

        Unavailable if it was started before, or `stop` was called before or meanwhile."""
        if self._state != "new":
            raise Unavailable(f"the engine is {self._state}; it can not be started again")
        check_waits(self.plan)
        load(self.stages, self.plan.hardware, self.plan.serial)
        if (measured := replanned(self.plan, self.stages)) is not self.plan:
            self.plan = measured
            self.ingress = Ingress(measured, self.stages, self._refused)
        self._assemble()
        ranges = Ranges()
        for stage in self._every_stage:
            budget = RetryBudget()  # of its own: what one stage raises must not cost the requests of another
            for slot in stage.slots:
                slot.run = run_of(stage)(stage, slot, self.clock.now, budget, self.recorder, self._workers.put)
                if slot.site is not None:
                    slot.site.keep_books(slot.run, self.recorder, ranges)
        slots = sum(len(s.slots) for s in self.stages)
        self._workers.grow(max(self.plan.hardware.cores, min(slots, MAX_THREADS)))
        for pipeline in self.plan.pipelines.values():
            for step in pipeline.every_step:
                if step.stage >= 0:
                    stage = self.stages[step.stage]
                    for slot in stage.slots:
                        stage.stats(step.node, slot)
        self._devices = tuple({slot.site.device for s in self.stages for slot in s.slots if slot.site is not None})
        if self._devices:
            for door in self.doors.values():
                door.crowded = self._crowded
        with self.lock:
            stopped = self._state == "stopped"
            if not stopped:
                self._state = "ready"
        if stopped:
            self._workers.stop(0)
            unload(self._every_stage)
            raise Unavailable("the engine was stopped while it loaded")

    def _assemble(self) -> None:
        """Make sets of what is loaded, where that can be. LoadError, with nothing left loaded."""
        for one in [] if self._apart else sets_of(self.plan, self.stages, self.clock):
            self.sets.append(one)
            try:
                if not one.assemble():
                    self.sets.remove(one)
            except Exception as error:
                unload(self._every_stage)
                raise LoadError(one.plan.name, f"{type(error).__name__}: {error}") from error
        if self.sets:
            self.ingress.forget()

    @property
    def _every_stage(self) -> list[StageRuntime]:
        """Sets too, which are closed before their members."""
        return [*self.sets, *self.stages]

    def drain(self, timeout: float | None = None, *, sequences: bool = False) -> bool:
        """Accept nothing new and wait until all requests have ended and all instances rest.

        `sequences`: requests of sequences that are open are still accepted, and their ends waited for. False if that
        is not so after `timeout` seconds."""
        with self._idle:
            if self._state == "ready":
                self._state = "draining"
            self.flow.watched = True
            self._sequences_go_on = sequences and self._state == "draining"
            return self._idle.wait_for(self._at_rest, timeout)

    def _rested(self) -> None:
        """(locked) An instance was freed."""
        self._idle.notify_all()

    def _at_rest(self) -> bool:
        if self._state == "stopped":
            return True
        if self._sequences_go_on and any(d.open for d in self.doors.values() if isinstance(d, SequenceDoor)):
            return False
        resting = not any(map(len, self.doors.values())) and all(len(s.free) == len(s.slots) for s in self._every_stage)
        resting = resting and not any(slot.busy for s in self._every_stage for slot in s.slots)
        return resting and not self.flow.shadows and not self.flow.arriving

    def stop(self, timeout: float = 5.0) -> None:
        """End what is still inside with Unavailable, then threads and instances. May be called twice."""
        with self.lock:
            if self._state == "stopped":
                return
            loading = self._state == "new"
            self._state = "stopped"
            self.flow.watched = True
            after = Aftermath((), self.clock.now)
            for scope in tuple(self.flow.shadows):
                scope.abandon(after)
            self.flow.bury(after)
            left = [r for door in self.doors.values() for r in (*door.inside, *door.line)]
        self.end(
            [(r, Unavailable("stopped before it was answered", pipeline=r.pipeline, request_id=r.id)) for r in left]
        )
        after.stop_makers()
        self.clock.close()
        self._workers.stop(timeout)
        self.flow.pump.close(self.stages)
        if self.flow.reaper is not None:
            self.flow.reaper.stop(timeout)
            self._workers.drop()
            self.flow.arriving.clear()
        if not loading:  # else `start` finds out that it was stopped
            unload(self._every_stage, timeout)

    @property
    def state(self) -> str:
        """new, ready, draining, stopped; lost where a device that it runs on can not be used any more."""
        if self._state == "ready" and any(device.lost for device in self._devices):
            return "lost"
        return self._state

    def _crowded(self) -> bool:
        return any(device.crowded for device in self._devices)

    # ---- in

    def submit(
        self,
        pipeline: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sequence: SequenceInfo | None = None,
        caller: str = "",
    ) -> Job:
        """Start a request. Wrong inputs, a full line or a stopped engine raise here, as RequestErrors.

        `caller` is any text that says who asks: callers take turns where requests wait before a pipeline.
        The answer of a pipeline with stream outputs comes as soon as its streams exist: see `streaming.answer`."""
        job = Job(self.cancel)
        job.request = request = self._request(
            pipeline, inputs, job, outputs, timeout, priority, id, headers, sequence, caller
        )
        refused = self._admit([request])
        own = next((error for other, error in refused if other is request), None)
        if own is not None:
            request.sink = None  # its caller is told here
        if refused:
            self.end(refused)
            refused.clear()  # or an error's traceback, which holds this frame, keeps all of it
        if own is not None:
            try:
                raise own
            finally:
                del own  # as above
        return job

    async def asubmit(
        self,
        pipeline: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the request's deadline, kept by the engine, not by asyncio
        priority: int | None = None,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sequence: SequenceInfo | None = None,
        caller: str = "",
    ) -> Response:
        """The same for asyncio; cancelling the task cancels the request."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Response] = loop.create_future()
        request = self._request(pipeline, inputs, future, outputs, timeout, priority, id, headers, sequence, caller)
        coming = self._coming.get(loop)
        if coming is None:
            for closed in [other for other in tuple(self._coming) if other.is_closed()]:
                self._coming.pop(closed, None)
            self._coming[loop] = [request]
            self.schedule(loop, self._tick)
        else:
            coming.append(request)
        try:
            return await future
        except asyncio.CancelledError:
            self.cancel(request)
            raise
        finally:
            del future  # its error's traceback holds this frame

    def _request(
        self,
        pipeline: str,
        inputs: Mapping[str, Any],
        sink: Sink,
        outputs: Sequence[str] | None,
        timeout: float | None,
        priority: int | None,
        id: str | None,
        headers: Mapping[str, str] | None,
        sequence: SequenceInfo | None,
        caller: str,
    ) -> Request:
        request = self.ingress.request(
            pipeline,
            inputs,
            sink,
            self.clock.now(),
            outputs,
            timeout,
            priority,
            id,
            headers,
            sequence,
        )
        request.caller = caller
        if request.variant.streams:
            request.answer = StreamAnswer(request, self.flow)
        return request

    def _refused(self, pipeline: str, reason: str) -> None:
        """Count a request that was refused before it was one."""
        with self.lock:
            self._stats[pipeline].failed(reason)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """All that one turn of an event loop has submitted comes in together."""
        self.end(self._admit(self._coming.pop(loop)))

    def cancel(self, request: Request) -> bool:
        """End a request with Cancelled; False if it had ended."""
        if request.done:
            return False
        return self.end([(request, Cancelled("cancelled", pipeline=request.pipeline, request_id=request.id))]) == 1

    def _admit(self, requests: list[Request]) -> list[tuple[Request, RequestError]]:
        """Take requests in, or into the line before the door; those that are refused, with why."""
        refused: list[tuple[Request, RequestError]] = []
        timed: list[Request] = []
        entered: list[Request] = []
        with self.lock:
            for request in requests:
                if request.done:
                    continue
                door = self.doors[request.pipeline]
                if self._state != "ready" and not self._goes_on(door, request):
                    text = f"the engine is {self._state}"
                    error: RequestError = Unavailable(text, pipeline=request.pipeline, request_id=request.id)
                    refused.append((request, error))
                    continue
                try:
                    if door.rate is not None:
                        door.rate.check(request)
                    if door.admit(request):
                        entered.append(request)
                    elif door.refused:  # others, who made room for it
                        refused += door.refused
                        door.refused = []
                    if door.rate is not None:
                        door.rate.spend(request)
                    if request.deadline_ns is not None or door.policy.queue_timeout_ns:
                        timed.append(request)
                except (Overloaded, InvalidArgument) as error_of_door:
                    refused.append((request, error_of_door))
        _not_started(refused)
        for request in timed:
            self._set_timer(request)
        self._enter(entered)
        return refused

    def _goes_on(self, door: Door, request: Request) -> bool:
        """(locked) Whether it is taken though the engine drains."""
        return self._sequences_go_on and isinstance(door, SequenceDoor) and door.goes_on(request)

    def _set_timer(self, request: Request) -> None:
        limit = self.doors[request.pipeline].policy.queue_timeout_ns
        latest = NEVER if request.deadline_ns is None else request.deadline_ns
        if limit and request.arrived_ns + limit < latest:
            self._call_at(request.arrived_ns + limit, self._give_up, request)
        elif latest != NEVER:
            self._call_at(latest, self._expire, request)

    def _call_at(self, when_ns: int, call: Callable[[Request], None], request: Request) -> None:
        """Set a request's timer, of which it has one."""
        request.timer = self.clock.call_at(when_ns, partial(call, request))
        if request.done:  # on another thread, before it had this timer
            request.timer.cancel()

    def _enter(self, requests: list[Request]) -> None:
        """Let admitted requests into the graph."""
        for variant, cohort in self.ingress.cohorts(requests):
            self.flow.enter(variant.edges, cohort)

    # ---- timers

    def _expire(self, request: Request) -> None:
        if not request.done:
            error = DeadlineExceeded("the deadline passed", pipeline=request.pipeline, request_id=request.id)
            self.end([(request, error)])

    def _give_up(self, request: Request) -> None:
        with self.lock:
            waiting = request in self.doors[request.pipeline].line
        if waiting:
            text = "it waited longer before the pipeline than `queue.timeout` allows"
            self.end([(request, DeadlineExceeded(text, pipeline=request.pipeline, request_id=request.id))])
        elif request.deadline_ns is not None:
            self._call_at(request.deadline_ns, self._expire, request)

    def _call_door(self, door: SequenceDoor, when_ns: int) -> None:
        """(locked) Have its sequences looked at when the first of them may be over."""
        self.clock.call_at(when_ns, partial(self._expire_sequences, door))

    def _expire_sequences(self, door: SequenceDoor) -> None:
        with self.lock:
            entering = door.expire()
            if self._state != "ready":
                self._idle.notify_all()
        if entering:
            self._workers.put(partial(self._enter, entering))

    # ---- out

    def end(self, ended: Sequence[tuple[Element, Outcome]]) -> int:
        """End elements, each exactly once: later outcomes of one that has ended are dropped. How many requests did."""
        final: list[tuple[Request, Outcome]] = []
        entering: list[Request] = []
        after = Aftermath(ended, self.clock.now)
        with self.lock:
            for element, outcome in after.ends:  # grows: the end of a child may be that of its parent
                if element.done:
                    continue
                element.done = True
                if element.streams:
                    after.stop(element, outcome)
                if isinstance(outcome, RequestError) or element.scopes:
                    forget(element, after)
                    after.bereft |= element.circuit.every_stage
                if isinstance(element, Request):
                    final.append((element, outcome))
                    entering += self._leave(element, outcome, after)
                elif isinstance(element, Child) and isinstance(outcome, RequestError):
                    element.leave()
                    self._lost(element, outcome, after)
            self.flow.bury(after)
            if self._state != "ready":
                self._idle.notify_all()
        if entering:
            self._workers.put(partial(self._enter, entering))
        if after.going:
            self.flow.go_on(after.going)
        deliver(final)
        if after.stopped:
            after.stop_makers()
        return len(final)

    def _lost(self, child: Child, error: RequestError, after: Aftermath) -> None:
        """(locked) A child has failed. That the time of all around it is up is not for its scope to mend."""
        scope = child.scope
        limit = None if scope.silent else scope.parent.deadline_ns
        if limit is not None and isinstance(error, DeadlineExceeded) and limit <= after.now():
            after.ends.append((scope.parent, error))
        else:
            scope.lost(child, error, after)

    def _leave(self, request: Request, outcome: Outcome, after: Aftermath) -> list[Request]:
        """(locked) Book a request's end; the requests that may enter in its place."""
        answered = not isinstance(outcome, RequestError)
        stats, door = self._stats[request.pipeline], self.doors[request.pipeline]
        if isinstance(outcome, RequestError):
            stats.failed(outcome.reason)
        else:
            stats.finished(outcome.finished_ns - request.arrived_ns, request.rows)
        request.layouts = []
        if request.timer is not None:
            request.timer.cancel()
        if self.recorder is not None:
            reason = outcome.reason if isinstance(outcome, RequestError) else "success"
            end = self.clock.now()
            self.recorder.requests.append(RequestRecord(request.id, request.pipeline, request.arrived_ns, end, reason))
        entering = door.finish(request, answered)
        if door.refused:
            after.ends += door.refused
            door.refused = []
        return entering

    # ---- figures

    def stats(self) -> Snapshot:
        """All counters at about this moment."""
        return snapshot(self.doors, self._stats, self.stages, self.sets, self.flow, self.resources)

    def check_idle(self) -> list[str]:
        """What is left though no request is inside; empty if all is well. For tests and debugging."""
        with self.lock:
            circuits = (circuit for variant in self.ingress.variants for circuit in variant)
            return leftovers(self.doors, self._every_stage, circuits, self.flow, self.resources)
