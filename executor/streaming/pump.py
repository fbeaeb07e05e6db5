"""Advances streaming calls: a call that has credit waits for its instance, makes elements, and is parked again.

An instance serves its inbox and its calls in turn. Nothing waits in a thread: a parked call is woken by the reader
that makes room (`ElementStream.when_credit`), and holds no slot, lock or thread meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from executor.columns import Items
from executor.element import Child, Element
from executor.errors import Cancelled, RequestError
from executor.passage import Passage
from executor.workers import Task

from .call import State, StreamingCall

if TYPE_CHECKING:
    from executor.flow import Flow
    from executor.stage import Slot, StageRuntime

_log = logging.getLogger("pipectl")


class Pump:
    """One for each engine."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def admit(self, calls: Sequence[StreamingCall]) -> None:
        """Calls that have just been made: whatever ends their elements stops them."""
        with self.flow.lock:
            for call in calls:
                call.pump = self
                call.slot.calls.add(call)
            dead = [call for call in calls if not register(call.owner, call)]
        for call in dead:
            call.cancel(ended_early(call.owner))

    def begin(self, calls: Sequence[StreamingCall]) -> None:
        """Their streams have reached those that read them: from now on they make elements."""
        for call in calls:
            self.offer(call)

    def offer(self, call: StreamingCall) -> None:
        """Something has changed for a call: if it is parked, it is looked at again."""
        with self.flow.lock:
            if call.state is not State.PARKED:
                return
            call.state = State.READY
            call.slot.ready.append(call)
            self._take(call.stage, call.slot)

    def _take(self, stage: StageRuntime, slot: Slot) -> None:
        """(locked) Have a free instance advance a call that is ready."""
        if slot.ready and slot in stage.free and (stage.claim is None or stage.claim.take(stage)):
            stage.free.remove(slot)
            self._put(stage, slot)

    def _put(self, stage: StageRuntime, slot: Slot) -> None:
        (slot.thread or self.flow.workers).put(partial(self._advance, stage, slot))

    def goes_on(self, stage: StageRuntime, slot: Slot, advanced: bool) -> bool:
        """(locked) Whether an instance that ran a batch goes on with a call that is ready, and so is not free."""
        if advanced:
            return False
        self._put(stage, slot)
        return True

    def resume(self, stage: StageRuntime, slot: Slot) -> None:
        """(locked) The inbox had its turn."""
        self._take(stage, slot)

    def _advance(self, stage: StageRuntime, slot: Slot) -> Task | None:
        """Worker: advance one call, hand on what it made; the next task for this thread."""
        flow = self.flow
        with flow.lock:
            call = slot.ready.popleft()
            call.state = State.RUNNING
        before = call.made
        state = call.run(flow.clock.now, lambda: bool(slot.ready) or any(stage.levels))
        passage = Passage(flow)
        call.stats.elements += call.made - before
        with flow.lock:
            if state is State.PARKED and call.error is not None:
                state = State.READY  # it was given up meanwhile, and nobody will look at it again
            call.state = state
            if state is State.READY:
                slot.ready.append(call)
            elif state is State.ENDED:
                slot.calls.discard(call)
                unregister(call.owner, call)
        if state is State.ENDED:
            self._ended(call, passage)
        task = flow.hand_on(passage, flow.clock.now(), stage, slot, advanced=True)
        if state is State.PARKED:
            call.wait(partial(self.offer, call))
        return task

    def _ended(self, call: StreamingCall, passage: Passage) -> None:
        """What follows from the end of a call."""
        run, owner = call.slot.run, call.owner
        run.ledger.streamed(call)  # before anybody can have the answer that tells of it
        if call.cause is not None and call.error is None:
            error = run.failure(call.cause, call.node, owner)
            call.cancel(error)
            passage.end(owner, error)
        elif call.error is None and call.rest is not None:
            if not owner.done:
                columns = tuple(Items([value]) for value in call.rest)
                self.flow.propagate(call.node.late, call.layout, columns, passage)
        elif call.cause is not None and not isinstance(call.cause, RequestError):  # that is what it read
            _log.warning("stage %s raised when it was closed: %r", call.stage.plan.name, call.cause)
        call.end()
        call.cause = None

    def close(self, stages: Iterable[StageRuntime]) -> None:
        """Close what is left when no worker runs any more."""
        for stage in stages:
            for slot in stage.slots:
                for call in tuple(slot.calls):
                    try:
                        call.close() if slot.thread is None else slot.thread.call(call.close, 1.0)
                    except Exception as error:  # one that still runs, or raises: the others must be closed
                        _log.warning("a stream of stage %s did not close: %r", stage.plan.name, error)
                slot.calls.clear()
                slot.ready.clear()


class Stoppable(Protocol):
    """Something that makes elements for an element of the graph."""

    def cancel(self, error: RequestError) -> None:
        """Make no more; readers get the error."""


def register(element: Element, maker: Stoppable) -> bool:
    """(locked) Whatever ends an element, or its request, stops a maker. False if that has happened."""
    top = _top(element)
    if element.done or top.done:
        return False
    for one in {element, top}:
        if one.streams is None:
            one.streams = set()
        one.streams.add(maker)
    return True


def unregister(element: Element, maker: Stoppable) -> None:
    """(locked) It has come to its end."""
    for one in {element, _top(element)}:
        if one.streams is not None:
            one.streams.discard(maker)


def _top(element: Element) -> Element:
    """Its request; below a shadow the shadow's own element, which outlives the request."""
    while isinstance(element, Child) and not element.scope.silent:
        element = element.scope.parent
    return element


def ended_early(element: Element) -> RequestError:
    """What a maker is told that comes too late."""
    return Cancelled("its request has ended", pipeline=element.pipeline, request_id=element.id)
