"""Several simulated devices of one process: one queue of work, one random order, one memory of what went wrong.

Nothing runs when it is issued. Work runs when somebody needs it (a synchronisation, a poll, memory that is trimmed),
one op at a time, in an order that streams and events allow and that the seed picks:

    random    any op that may run
    late      only ops that what is waited for needs
    eager     each op as soon as it is issued: what a device without any lag would do

Mistakes are found when work is issued, from vector clocks, so that they do not depend on the order; what only the
values show is found when it runs. Both raise RaceError where there is somebody to raise to, and `check` raises the
first of them again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backends.device.accelerator import Accelerator
from backends.device.driver import DeviceLost
from backends.device.stream import LOCK

from .driver import SimDriver
from .errors import RaceError
from .pinned import Slabs
from .queue import Clock, EventSlot, Op, SimEvent, SimStream, merge

Order = Literal["random", "late", "eager"]
HostOrders = Literal["none", "waits", "all"]


@dataclass(frozen=True)
class Settings:
    """What the simulated machine is like."""

    seed: int = 0
    order: Order = "random"
    speeds: Sequence[float] = (1e9, 0.4e9)
    """Bytes per second of each device; the last one stands for all further ones."""
    launch_cost: float = 5e-6
    """Seconds of a device for each op."""
    multiprocessors: int = 128
    """Of each device; work in a partition takes as much longer as it has fewer of them."""
    memory: int = 1 << 32
    """Bytes of each device."""
    host_orders: HostOrders = "waits"
    """Which work is ordered behind what the host knew to have ended when it was issued: that after `waits`, that after
    a poll which said yes too (`all`), or `none`. On a device all is. But our device layer does not rely on the host,
    and what it forgets to order is found whatever the host happens to know only if none of that is counted."""
    peer: bool = True
    """Whether devices copy from each other's memory."""
    rerun: bool = False
    """Whether stages are run again on the actual bytes, or only compared with what they were given at launch."""


class Simulation:
    """Its lock is that of the device layer: blocks are freed and work is issued by any thread."""

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        """`settings`: fields of `Settings`."""
        self.settings = Settings(seed, **settings)
        self.lock = LOCK
        self.random = random.Random(seed).random
        self.errors: list[Exception] = []
        """What was found, first one first."""
        self.drivers: dict[int, SimDriver] = {}
        self.slabs = Slabs(self)
        self.host: Clock = {}
        """What the host knows to have ended."""
        self.waited: Clock = {}
        """That part of it which work issued from here on is ordered behind."""
        self.learned = 0
        """How often that grew."""
        self.time = 0.0
        """Of the host, in simulated seconds: the end of the last thing it waited for."""
        self.makespan = 0.0
        """Simulated seconds until the last op ended."""
        self.ran = 0
        """Ops so far."""
        self.events_live = 0
        self._busy: list[SimStream] = []
        """Streams with ops that have not run."""
        self._streams = 0
        self._lives = 0
        self._slots: list[EventSlot] = []
        """Recycled ones, the last one behind."""
        self._slots_made = 0

    def driver(self, index: int = 0) -> SimDriver:
        """The device of that number, made when first asked for."""
        with self.lock:
            if index not in self.drivers:
                speeds = self.settings.speeds
                self.drivers[index] = SimDriver(self, index, speeds[min(index, len(speeds) - 1)])
            return self.drivers[index]

    def accelerator(self, index: int = 0, lanes: int = 4) -> Accelerator:
        """A new `Accelerator` over the device of that number."""
        return Accelerator(self.driver(index), lanes)

    def number_of_stream(self) -> int:
        self._streams += 1
        return self._streams

    def number_of_life(self) -> int:
        self._lives += 1
        return self._lives

    # ---- issuing

    def enqueue(self, op: Op) -> None:
        """Put an op behind the others of its stream. Its accesses were checked."""
        stream = op.stream
        stream.tick = stream.clock[stream.number] = op.tick
        op.after, stream.waits = stream.waits, []
        op.issued = self.time
        for life in op.lives:
            life.pending += 1
        if not stream.queue:
            self._busy.append(stream)
        stream.queue.append(op)
        stream.last = op
        if self.settings.order == "eager":
            self.run_until(op)

    def meet_host(self, stream: SimStream) -> None:
        """Order what the stream does next behind what the host waited for."""
        if stream.host != self.learned:
            stream.host = self.learned
            merge(stream.clock, self.waited)

    def record(self, stream: SimStream) -> SimEvent:
        """An event behind everything issued so far, in a slot that was recycled last."""
        self.meet_host(stream)
        if stream.waits:
            self.enqueue(Op(stream, "join"))
        if self._slots:
            slot = self._slots.pop()
        else:
            self._slots_made += 1
            slot = EventSlot(self._slots_made)
        slot.free = False
        slot.generation += 1
        self.events_live += 1
        return SimEvent(slot, stream, stream.last, dict(stream.clock))

    def recycle(self, event: SimEvent) -> None:
        """Put the slot of an event back. That it was there already is only noted: finalizers do this."""
        if event.stale:
            self.found(RaceError(f"{event} is recycled twice"))
            return
        event.slot.free = True
        self.events_live -= 1
        self._slots.append(event.slot)

    def fresh(self, event: SimEvent) -> None:
        """RaceError for an event whose slot was recycled."""
        if event.stale:
            raise self.found(
                RaceError(f"{event} was recycled while it is in use; recycle an event when nobody refers to it")
            )

    def learn(self, event: SimEvent, waited: bool) -> None:
        """The host knows that the event has passed: it waited for it, or had a look."""
        merge(self.host, event.clock)
        counts = self.settings.host_orders
        if counts == "all" or (waited and counts == "waits"):
            merge(self.waited, event.clock)
            self.learned += 1
        self.time = max(self.time, event.time)

    # ---- running

    @property
    def pending(self) -> int:
        """Ops that have not run."""
        return sum(len(stream.queue) for stream in self._busy)

    def step(self) -> bool:
        """Run one op, any one that may run; whether there was one."""
        busy = self._busy
        n = len(busy)
        if not n:
            return False
        first = int(self.random() * n)
        for i in range(n):
            stream = busy[(first + i) % n]
            if all(op.done for op in stream.queue[0].after):
                self._run(stream)
                return True
        raise AssertionError("streams of the simulator wait for each other")

    def step_towards(self, op: Op) -> None:
        """Run one op that another one needs, or itself."""
        while True:
            head = op.stream.queue[0]
            needed = next((other for other in head.after if not other.done), None)
            if needed is None:
                self._run(head.stream)
                return
            op = needed

    def run_until(self, op: Op) -> None:
        """Run until an op has run."""
        late = self.settings.order != "random"
        while not op.done:
            if late:
                self.step_towards(op)
            else:
                self.step()

    def poll(self, op: Op) -> None:
        """Run a few ops, as if some time had gone by."""
        if self.settings.order == "random":
            for _ in range(int(self.random() * 4)):
                if op.done or not self.step():
                    return
        else:
            self.step_towards(op)

    def run_all(self) -> None:
        """Run everything."""
        while self.step():
            pass

    def _run(self, stream: SimStream) -> None:
        op = stream.queue.popleft()
        if not stream.queue:
            self._busy.remove(stream)
        op.end = max([stream.time, op.issued, *(other.end for other in op.after)]) + op.cost
        stream.time = op.end
        self.makespan = max(self.makespan, op.end)
        self.ran += 1
        driver = stream.driver
        try:
            if driver.lost is None:
                if op.fails is not None:
                    driver.lost = op.fails
                elif op.run is not None:
                    op.run()
        except RaceError as error:
            self.found(error)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            self.found(RaceError(f"{op} failed when its time came, and not in the order of issue: {text}"))
            driver.lost = DeviceLost(f"{driver.name}: {op} failed: {text}")
        op.done = True
        for life in op.lives:
            life.done()
        op.run, op.after, op.lives = None, [], []

    # ---- what went wrong

    @property
    def lost(self) -> bool:
        """Whether a device is lost: values may differ then."""
        return any(driver.lost for driver in self.drivers.values())

    def found(self, error: RaceError) -> RaceError:
        """Remember a mistake."""
        self.errors.append(error)
        return error

    def check(self) -> None:
        """Run everything, and raise the first mistake found so far."""
        with self.lock:
            self.run_all()
            if self.errors:
                raise self.errors[0]

    def leaks(self, events: bool = False) -> list[str]:
        """What is still held after everything has run: nothing, once all arrays, landings and slabs are dropped. The
        memory of a lost device is nobody's.

        `events`: those too; streams of an `Accelerator` keep the last ones that they recorded."""
        with self.lock:
            self.run_all()
            working = [driver for driver in self.drivers.values() if driver.lost is None]
            found = [repr(life) for driver in working for life in [*driver.pool.lives]]
            found += [repr(life) for life in self.slabs.lives]
            if events and self.events_live:
                found.append(f"{self.events_live} events")
            return found

    def idle(self, events: bool = False) -> bool:
        """Whether nothing is pending and nothing is held."""
        return not self.pending and not self.leaks(events)
