"""Where one instance on an accelerator runs its batches.

    parts -> the stream of their lane and chain -> gather, upload, execute, all enqueued there -> an event at the end

A batch that was launched goes on to its consumers at once; nobody waits for it here. The instance is free for the next
one while fewer than `depth` of its batches are under way: it is the end of batches that frees it, not their launch, or
batches would never grow. What a batch took is booked when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from backends.base import Batch, BatchResult, Elements, Instance
from backends.device import Accelerator, DeviceArray, Event, Stream
from backends.values import Ragged, Value
from executor.cohort import Cohort
from executor.gpu_time import GpuTime, Span
from executor.ledger import Ledger, Part
from executor.ranges import NOTHING, Ranges
from executor.stats import NodeStats
from pipeline_dsl.plan import PortPlan, StagePlan

from .arrays import arrays_in, arrays_of, first_array
from .landing import hosted_values

if TYPE_CHECKING:
    from executor.assemble import Gathered
    from executor.execute import Run
    from executor.stage import Slot, StageRuntime
    from executor.trace import Recorder

DEPTH = 2
"""Batches of one instance under way: one that runs, and one that is ready to run behind it."""

_lanes = count()


class Books:
    """Counters that the thread which sees batches end writes; they count beside those of the slot."""

    __slots__ = ("index", "stats")

    def __init__(self, index: int) -> None:
        self.index = index
        self.stats: dict[str, NodeStats] = {}


Booking = tuple[list[Part], "Gathered", str, int, list[int]]
"""Parts and what was gathered of them, both without values; the first call site's name, when it was launched (ns), and
where in the executions of each part's layout it stands."""


class Launch(NamedTuple):
    """A group that was launched."""

    event: Event
    """Behind all of it."""
    batches: list[Booking]
    """To be booked when it has ended."""
    span: Span | None
    """Where its time on the device is taken."""


class LateLedger(Ledger):
    """Notes a batch when it is launched, and counts it, with its real end, when it has ended."""

    __slots__ = ("held",)

    def __init__(self, stage: StageRuntime, books: Books, recorder: Recorder | None) -> None:
        super().__init__(stage, books, recorder)  # type: ignore[arg-type]  # all that it needs of a slot
        self.held: list[Booking] = []

    def batch(self, parts: list[Part], gathered: Gathered, stats: NodeStats, start: int, end: int) -> None:
        self.note(parts, gathered.rows, start, end)
        places = [len(cohort.layout.executions) - 1 for _, cohort, _ in parts]
        empty = [(node, Cohort(cohort.layout, ()), enqueued) for node, cohort, enqueued in parts]
        self.held.append((empty, replace(gathered, inputs=()), stats.node, start, places))

    def taken(self) -> list[Booking]:
        """What was launched since the last time."""
        held, self.held = self.held, []
        return held

    def book(self, held: Iterable[Booking], end: int) -> None:
        """These batches ended at `end`."""
        for parts, gathered, node, start, places in held:
            for (_, cohort, _), place in zip(parts, places, strict=True):
                noted = cohort.layout.executions[place]
                cohort.layout.executions[place] = (*noted[:5], end, *noted[6:])
            self.count(parts, gathered, self.stage.stats(node, self.slot), start, end)


class Site:
    """One instance's place on its device."""

    __slots__ = (
        "_bound",
        "_instance",
        "_ledger",
        "_ports",
        "_range",
        "_repeatable",
        "books",
        "depth",
        "device",
        "flying",
        "parked",
        "seconds",
        "serial",
        "stage",
    )

    def __init__(
        self,
        device: Accelerator,
        instance: Any,
        plan: StagePlan,
        index: int,
        *,
        serial: bool,
        stream: Stream | None = None,
    ) -> None:
        """serial: one stream for everything, and each batch is waited for. stream: the only one that its batches may
        run on, also then: with fewer multiprocessors a library may compute another way."""
        self.device = device
        self.stage = plan.name
        self.books = Books(index)
        self.serial = serial
        self.depth = DEPTH
        self.flying = 0
        """Batches under way; changed with the engine's lock held."""
        self.parked = False
        """It waits for one of them to end; changed with the engine's lock held."""
        self._instance: Instance = instance
        self._bound: Stream | None = stream or getattr(instance, "stream", None)
        """The stream of its partition, or the one that the instance itself is bound to."""
        self._ports = plan.inputs
        self.seconds: float | None = None
        """What a batch of the warm-up took on the device; None where there was none."""
        self._repeatable = plan.contract.effects != "once"
        self._ledger: LateLedger | None = None
        self._range: AbstractContextManager[Any] = NOTHING

    @property
    def load(self) -> int:
        """Batches under way on its device."""
        return self.device.flying

    # ---- a group

    def run(self, slot: Slot, parts: list[Part], times: GpuTime) -> Launch:
        """Run a group as `Run.run` does, all of it enqueued on one stream."""
        slot.stream = stream = self.stream_of(parts)
        with stream.use(), self._range:
            span = times.begin(self.stage, self.device.driver, stream.handle, partial(self._order, stream, parts))
            slot.run.run(parts)
            if span is not None:
                span.end()
                stream.launched()  # an event that was recorded before is not behind the end of the span
            event = stream.record()
        if self.serial:
            event.synchronize()
        ledger = slot.run.ledger
        return Launch(event, ledger.taken() if isinstance(ledger, LateLedger) else [], span)

    def stream_of(self, parts: Sequence[Part]) -> Stream:
        """The stream of the group's chain, in the lane that what it reads was made in."""
        if self._bound is not None:
            return self._bound
        node = parts[0][0]
        if self.serial:
            return self.device.in_lane(0, 0)
        lane = next((lane for _, cohort, _ in parts if (lane := self._lane(cohort)) is not None), None)
        place = node.chain
        return self.device.in_lane(next(_lanes) if lane is None else lane, place.number, place.width, place.critical)

    def _lane(self, cohort: Cohort) -> int | None:
        """The lane that the first column on this device was made in."""
        for column in cohort.columns:
            array = first_array(column)
            if array is not None and array.block.device is self.device:
                return array.block.writer.lane
        return None

    def _order(self, stream: Stream, parts: Sequence[Part]) -> None:
        """Order a stream behind what the group reads."""
        arrays = [a for _, cohort, _ in parts for column in cohort.columns for a in arrays_in(column)]
        stream.order(reads=[a for a in arrays if a.block.device is self.device])

    def book(self, launch: Launch, end: int) -> None:
        """It ended at `end` (ns)."""
        if self._ledger is not None and launch.batches:
            self._ledger.book(launch.batches, end)
        if launch.span is not None:
            launch.span.passed()

    def keep_books(self, run: Run, recorder: Recorder | None, ranges: Ranges) -> None:
        """Have a run's batches booked when they have ended, and shown in profilers."""
        self._range = ranges.of(self.stage, str(self.books.index))
        if type(run.ledger) is Ledger:
            run.ledger = LateLedger(run.stage, self.books, recorder)
        if isinstance(run.ledger, LateLedger):
            self._ledger = run.ledger

    # ---- a call

    def execute(self, batch: Batch) -> BatchResult:
        """Call the instance with its inputs on the device, in the order of the batch's stream."""
        stream: Stream = batch.stream
        batch.inputs = tuple([self._placed(v, p, stream) for v, p in zip(batch.inputs, self._inputs(batch))])
        read = [array for value in batch.inputs for array in arrays_of(value)]
        stream.order(reads=read)
        result = self._call(batch)
        self.device.driver.check_current(stream.handle, self.stage)
        if result.elements is not None:
            result.elements = self._read(result.elements, stream)
        given = {id(array.block) for array in read}  # what lies in an input was not written, and others may read it
        made = [array for value in result.outputs for array in arrays_of(value) if id(array.block) not in given]
        stream.launched(reads=read, writes=[a for a in made if a.block.device is self.device])
        return result

    def _call(self, batch: Batch) -> BatchResult:
        """One call of the instance; again where memory was short, once what runs has ended."""
        try:
            return self._instance.execute(batch)
        except Exception as error:
            if not self._was_short(error):
                raise
        self.device.trim()
        return self._instance.execute(batch)

    def _was_short(self, error: Exception) -> bool:
        """Whether it means that memory was short, and the stage may run again; raises what else it means. A function:
        a name for an exception beside `as` keeps all frames below it alive."""
        meant = self.device.driver.translated(error)
        if meant is not error and not (isinstance(meant, MemoryError) and self._repeatable):
            raise meant from error
        return isinstance(meant, MemoryError) and self._repeatable

    def _read(self, elements: Elements, stream: Stream) -> Elements:
        """Elements of a stream, made on the device and read on the host: who takes them may be anywhere."""
        while True:
            with stream.use():
                try:
                    values = hosted_values(next(elements))
                except StopIteration as end:
                    return hosted_values(end.value or ())
                except BaseException:
                    elements.close()
                    raise
            try:
                yield values
            except BaseException:
                with stream.use():
                    elements.close()
                raise

    def alone(self, batch: Batch) -> BatchResult:
        """One call outside of an engine's work, as a warm-up does; it has ended when this returns."""
        batch.stream = stream = self._bound or self.device.side
        driver = self.device.driver
        with stream.use():
            start = driver.mark(stream.handle)
            result = self.execute(batch)
            end = driver.mark(stream.handle)
            stream.synchronize()
        self.seconds = driver.elapsed(start, end)
        return result

    def _inputs(self, batch: Batch) -> Sequence[PortPlan | None]:
        """The ports of a batch's inputs; states of a sequence stand behind them."""
        more = len(batch.inputs) - len(self._ports)
        ports: Sequence[PortPlan | None] = self._ports
        return (*ports, *[None] * more) if more > 0 else ports

    def _placed(self, value: Value, port: PortPlan | None, stream: Stream) -> Value:
        """An input as the instance takes it: arrays of numbers on the device, side by side; all else as it is."""
        if isinstance(value, DeviceArray):
            return self.device.contiguous(self.device.bring(value, stream), stream)
        if isinstance(value, Ragged):
            return value if port is not None and not port.type.dtype.numeric else self._ragged(value, stream)
        if hasattr(value, "dtype") and value.ndim and not value.dtype.hasobject:
            return self.device.upload(value, stream)
        return value

    def _ragged(self, value: Ragged, stream: Stream) -> Ragged:
        """The same rows on the device, in the form they are held in; rows one by one are packed first."""
        if value.padded_form is not None:
            array = self.device.contiguous(self.device.bring(value.padded_form, stream), stream)
            return Ragged(padded=array, lengths=value.lengths(), fill=value.fill)  # type: ignore[arg-type]
        values, offsets = value.packed()
        array = self.device.contiguous(self.device.bring(values, stream), stream)
        return Ragged(values=array, offsets=offsets)  # type: ignore[arg-type]  # an array of the device


def site_of(
    device: Any, instance: Any, plan: StagePlan, index: int, serial: bool, stream: Stream | None = None
) -> Site | None:
    """The site of an instance; None on the host."""
    return None if device.is_host else Site(device, instance, plan, index, serial=serial, stream=stream)
