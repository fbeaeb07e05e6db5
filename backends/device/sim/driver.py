"""One simulated device: what `backends.device.driver.Driver` asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import local
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.device.driver import DeviceLost, Driver, partition_refused
from backends.values import Array

from .data import SimData
from .errors import RaceError
from .graph import Capture
from .library import LibraryArray
from .memory import Life
from .pinned import expected, over
from .pool import Pool
from .queue import Op, SimEvent, SimStream, merge
from .work import Download, Upload, Work

if TYPE_CHECKING:
    from .simulation import Simulation

_here = local()


class SimDriver:
    """One device of a simulation."""

    xp: Any = np

    def __init__(self, simulation: Simulation, index: int, speed: float) -> None:
        """`speed`: bytes per second."""
        self.simulation = simulation
        self.index = index
        self.name = f"sim:{index}"
        self.speed = speed
        self.lost: DeviceLost | None = None
        """Why it can not be used any more."""
        self.pool = Pool(self)
        self.fail_op: int | None = None
        """Which op from here on uses an illegal address; 1 is the next one."""
        self.launched = 0
        """Ops so far."""

    def __repr__(self) -> str:
        return f"SimDriver({self.name})"

    # ---- streams

    def open_stream(self, high_priority: bool = False) -> SimStream:
        with self.simulation.lock:
            self._alive()
            return SimStream(self, self.simulation.number_of_stream())

    def open_partition_stream(self, sms: int) -> SimStream:
        there = self.simulation.settings.multiprocessors
        if not 0 < sms <= there:
            raise partition_refused(self.name, sms, there)
        with self.simulation.lock:
            self._alive()
            return SimStream(self, self.simulation.number_of_stream(), sms)

    @contextmanager
    def current(self, stream: SimStream) -> Iterator[None]:
        before = getattr(_here, "stream", None)
        _here.stream = stream
        try:
            yield
        finally:
            _here.stream = before

    def current_stream(self) -> SimStream | int:
        """The calling thread's stream, as a library that looks for one sees it: 0, the default one, where none is
        set."""
        stream: SimStream | None = getattr(_here, "stream", None)
        return stream if stream is not None and stream.driver is self else 0

    def translated(self, error: Exception) -> Exception:
        """Its own exceptions say what they mean."""
        return error

    def check_current(self, stream: SimStream, stage: str) -> None:
        """Nothing but `current` can change it here."""

    def address_of(self, stream: SimStream) -> int:
        return 0x5000 + stream.number

    def launch(
        self, stream: SimStream, work: Callable[..., None], writes: Sequence[SimData], reads: Sequence[SimData]
    ) -> None:
        self.issue(stream, getattr(work, "__qualname__", "work"), Work(work, writes, reads), writes, reads)

    def issue(
        self, stream: SimStream, label: str, work: Work, writes: Sequence[SimData], reads: Sequence[SimData]
    ) -> None:
        """Check what an op uses, run it in program order, and enqueue it. RaceError for what nothing orders."""
        with self.simulation.lock:
            self._usable(stream)
            if stream.capture is not None:
                for data in writes:
                    stream.capture.save(data.ideal)
                work.begin()
                stream.capture.op(stream, lambda s: self._issue(s, label, work.again(), writes, reads))
            else:
                self._issue(stream, label, work, writes, reads)

    def readable(self, stream: SimStream, label: str, reads: Sequence[SimData]) -> None:
        """RaceError for what an op that is issued next on a stream could not read."""
        with self.simulation.lock:
            self._usable(stream)
            if stream.capture is not None:
                return
            self.simulation.meet_host(stream)
            op = Op(stream, label)
            try:
                for data in reads:
                    data.life.read(*data.bounds, op, note=False)
            except RaceError as error:
                raise self.simulation.found(error) from None

    def _issue(
        self, stream: SimStream, label: str, work: Work, writes: Sequence[SimData], reads: Sequence[SimData]
    ) -> None:
        simulation = self.simulation
        simulation.meet_host(stream)
        op = Op(stream, label)
        stream.clock[stream.number] = op.tick
        nbytes = 0
        try:
            for data in reads:
                data.life.read(*data.bounds, op)
                nbytes += data.nbytes
            for data in writes:
                data.life.write(*data.bounds, op)
                nbytes += data.nbytes
        except RaceError as error:
            raise simulation.found(error) from None
        op.lives = [data.life for data in (*reads, *writes) if data.size]
        op.cost = simulation.settings.launch_cost + nbytes / self._speed_of(stream, work)
        work.begin()
        op.run = work.end
        self._enqueue(op)

    def _speed_of(self, stream: SimStream, work: Work) -> float:
        """Bytes per second of an op: what copies to and from the host takes no multiprocessors."""
        if not stream.sms or isinstance(work, Upload | Download):
            return self.speed
        return self.speed * stream.sms / self.simulation.settings.multiprocessors

    def _enqueue(self, op: Op) -> None:
        self.launched += 1
        if self.fail_op == self.launched:
            op.fails = DeviceLost(f"{self.name}: {op} used an illegal address")
        self.simulation.enqueue(op)

    def _alive(self) -> None:
        if self.lost is not None:
            raise DeviceLost(str(self.lost))

    def _usable(self, stream: Any) -> None:
        self._alive()
        if not isinstance(stream, SimStream):
            raise self.simulation.found(
                RaceError(
                    f"work on the default stream of {self.name}, which orders nothing; make a stream current first"
                )
            )
        if stream.driver is not self:
            raise self.simulation.found(RaceError(f"work of {self.name} on {stream}, a stream of another device"))

    # ---- events

    def record(self, stream: SimStream) -> SimEvent:
        with self.simulation.lock:
            self._usable(stream)
            made = self.simulation.record(stream)
            if stream.capture is not None:
                made.capture = (stream.capture, stream.capture.record(stream))
            return made

    def wait(self, stream: SimStream, event: SimEvent) -> None:
        with self.simulation.lock:
            self._usable(stream)
            self.simulation.fresh(event)
            if event.capture is not None and event.capture[0].open:
                graph, number = event.capture
                if stream.capture is None:
                    stream.capture = graph
                graph.wait(stream, number)
                return
            if stream.capture is not None:
                raise RuntimeError(
                    f"{stream} is captured and can not wait for {event}, which is not part of the capture"
                )
            merge(stream.clock, event.clock)
            stream.tick += 1
            stream.clock[stream.number] = stream.tick
            if event.op is not None and not event.op.done and event.stream is not stream:
                stream.waits.append(event.op)

    def ready(self, event: SimEvent) -> bool:
        with self.simulation.lock:
            self._awaited(event)
            if event.op is not None and not event.op.done:
                self.simulation.poll(event.op)
                self._alive()
            if event.passed:
                self.simulation.learn(event, waited=False)
            return event.passed

    def synchronize(self, event: SimEvent) -> None:
        with self.simulation.lock:
            self._awaited(event)
            if event.op is not None:
                self.simulation.run_until(event.op)
                self._alive()
            self.simulation.learn(event, waited=True)

    def _awaited(self, event: SimEvent) -> None:
        self._alive()
        self.simulation.fresh(event)
        if event.capture is not None:
            raise RuntimeError(f"{event} was captured: it is part of a graph, and the host can not look at it")

    def recycle(self, event: SimEvent) -> None:
        with self.simulation.lock:
            self.simulation.recycle(event)

    def mark(self, stream: SimStream) -> Op:
        with self.simulation.lock:
            self._usable(stream)
            self.simulation.meet_host(stream)
            op = Op(stream, "mark")
            self.simulation.enqueue(op)
            return op

    def elapsed(self, start: Op, end: Op) -> float:
        if not (start.done and end.done):
            raise RuntimeError(f"{start if not start.done else end} was not passed yet")
        return end.end - start.end

    # ---- memory

    def allocate(self, nbytes: int, stream: SimStream) -> Life:
        with self.simulation.lock:
            self._usable(stream)
            return self.pool.allocate(nbytes, stream)

    def free(self, memory: Life, stream: SimStream) -> None:
        with self.simulation.lock:
            if self.lost is None:
                self.simulation.meet_host(stream)
                self.pool.free(memory, stream)
            else:
                self.pool.forget(memory)

    def view(self, memory: Life, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SimData:
        chunk = memory.chunk
        data = SimData(np.ndarray(shape, dtype, chunk.actual), np.ndarray(shape, dtype, chunk.ideal), memory)
        return SimData(data.actual, data.ideal, memory, (0, data.actual.nbytes))

    def address(self, data: SimData) -> int:
        return int(data.actual.ctypes.data)

    def holds(self, value: Any) -> bool:
        if not isinstance(value, SimData | LibraryArray):
            return False
        stream = value.life.stream
        return stream is not None and stream.driver is self

    def adopt(self, value: Any) -> SimData:
        data: SimData = value.data if isinstance(value, LibraryArray) else value
        return data

    def library_array(self, array: Array, stream: SimStream) -> LibraryArray:
        """An array that another library made and wrote on a stream, in memory that it frees itself."""
        data = self.view(self.allocate(array.nbytes, stream), array.shape, array.dtype)

        def written(out: Array) -> None:
            out[...] = array

        self.launch(stream, written, [data], [])
        return LibraryArray(self, data, stream)

    def pinned(self, nbytes: int) -> Any:
        with self.simulation.lock:
            self._alive()
            return self.simulation.slabs.take(nbytes)

    def upload(self, stream: SimStream, target: SimData, source: Array) -> None:
        with self.simulation.lock:
            self._usable(stream)
            if stream.capture is not None:
                raise RuntimeError(f"{stream} is captured: copies from the host are not part of graphs here")
            found = self.simulation.slabs.of(source)
            if found is None:
                self._issue(stream, "upload", Upload(self.simulation, target, source, np.array(source)), [target], [])
                return
            life, low, high = found
            actual, ideal = over(life, source, low)
            work = Upload(self.simulation, target, actual, expected(life, source, low, high))
            self._issue(stream, "upload", work, [target], [SimData(actual, ideal, life, (low, high))])

    def download(self, stream: SimStream, target: Array, source: SimData) -> None:
        with self.simulation.lock:
            self._usable(stream)
            if stream.capture is not None:
                raise RuntimeError(f"{stream} is captured: copies to the host are not part of graphs here")
            found = self.simulation.slabs.of(target)
            if found is None:
                work = Download(self.simulation, target, np.empty_like(target), source)
                self._issue(stream, "download", work, [], [source])
                return
            life, low, high = found
            actual, ideal = over(life, target, low)
            work = Download(self.simulation, actual, ideal, source)
            self._issue(stream, "download", work, [SimData(actual, ideal, life, (low, high))], [source])

    def transfer(self, stream: SimStream, target: SimData, source: SimData, other: Driver) -> bool:
        if not isinstance(other, SimDriver) or other.simulation is not self.simulation:
            return False
        if other is not self and not self.simulation.settings.peer:
            return False
        other._alive()
        self.issue(stream, "transfer", Work(np.copyto, [target], [source]), [target], [source])
        return True

    def memory(self) -> tuple[int, int]:
        return self.pool.nbytes, self.simulation.settings.memory

    def trim(self) -> None:
        with self.simulation.lock:
            self._alive()
            self.pool.trim()

    # ---- graphs

    def begin_capture(self, stream: SimStream) -> None:
        with self.simulation.lock:
            self._usable(stream)
            if stream.capture is not None:
                raise RuntimeError(f"{stream} is captured already")
            stream.capture = Capture(stream)

    def end_capture(self, stream: SimStream) -> Capture:
        with self.simulation.lock:
            graph = stream.capture
            if graph is None or graph.origin is not stream:
                raise RuntimeError(f"no capture began on {stream}")
            graph.end()
            return graph

    def replay(self, graph: Capture, stream: SimStream) -> None:
        with self.simulation.lock:
            self._usable(stream)
            graph.replay(stream, self.open_stream)

    def close(self) -> None:
        with self.simulation.lock:
            if self.lost is None:
                self.pool.trim()
