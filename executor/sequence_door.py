"""The door of a pipeline that takes sequences: requests of one id one after the other, each sequence on its places.

    START -> a seat at every sequence stage -> requests, one at a time, in order -> END or idle -> seats are free again

A sequence takes all its seats at once when it starts, so that two never wait for each other; without one it waits in
line, and others that start wait behind it. The next request of an id enters when the one before has ended. A request
that fails leaves its sequence as it was before: a START that fails started nothing, an END that fails ended nothing.
START on a running sequence starts it anew once its turn comes. Not thread-safe, as `Door`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping

from pipeline_dsl.literals import duration
from pipeline_dsl.plan import AdmissionPolicy

from .admission import Door
from .errors import InvalidArgument, Overloaded
from .request import Request, sequence_of
from .sequence import Seat, Seats

REMEMBERED = 1024
"""Sequences that are over whose end is still known, for a better message."""


class Sequence:
    """One sequence: its seats, the request inside, and those that wait for their turn."""

    __slots__ = ("begun", "due_ns", "id", "running", "seats", "waiting")

    def __init__(self, id: int | str) -> None:
        self.id = id
        self.seats: Mapping[str, Seat] | None = None
        """By call site; None before its START entered."""
        self.begun = False
        """Its START was answered."""
        self.running: Request | None = None
        self.waiting: deque[Request] = deque()
        self.due_ns = 0
        """When it is over, while it rests."""

    @property
    def lost(self) -> str:
        return next((seat.lost for seat in (self.seats or {}).values() if seat.lost), "")


class SequenceDoor(Door):
    """Requests and sequences of one pipeline."""

    __slots__ = (
        "_armed",
        "_now",
        "_over",
        "_places",
        "_resting",
        "_turn",
        "_unseated",
        "ended",
        "idle_ns",
        "rivals",
        "sequences",
        "wake",
    )

    def __init__(
        self, name: str, policy: AdmissionPolicy, places: Mapping[str, Seats], idle_ns: int, now: Callable[[], int]
    ) -> None:
        """`places`: the seats of the stage at each call site of a sequence stage."""
        super().__init__(name, policy)
        self.idle_ns = idle_ns
        self.sequences: dict[int | str, Sequence] = {}
        self.rivals: list[SequenceDoor] = []
        """Doors of pipelines that share a stage with this one: what is given back here may let theirs in."""
        self.wake: Callable[[int], None] = lambda when_ns: None
        """Called with the time at which `expire` is to be called; set by the engine."""
        self._places = places
        self._now = now
        self._turn: OrderedDict[Sequence, None] = OrderedDict()
        """Sequences that have seats and whose next request may enter."""
        self._unseated: OrderedDict[Sequence, None] = OrderedDict()
        """Sequences that are to start and wait for seats."""
        self._resting: OrderedDict[Sequence, None] = OrderedDict()
        """Those that wait for their next request, the one that has waited longest first."""
        self._over: OrderedDict[int | str, str] = OrderedDict()
        self._armed = False
        self.ended: Counter[str] = Counter()
        """Sequences that are over, by how: `end`, `idle`, `lost`, or `failed` with their first request."""

    @property
    def open(self) -> int:
        """Sequences that have begun or wait to."""
        return len(self.sequences)

    @property
    def unseated(self) -> int:
        """Sequences that wait for a place."""
        return len(self._unseated)

    def shares(self, other: SequenceDoor) -> bool:
        """Whether a stage has seats for both."""
        return not set(self._places.values()).isdisjoint(other._places.values())

    def goes_on(self, request: Request) -> bool:
        """Whether it belongs to a sequence that is open and does not begin it anew."""
        return not sequence_of(request).start and sequence_of(request).id in self.sequences

    # ---- in

    def admit(self, request: Request) -> bool:
        """As `Door.admit`. InvalidArgument for a request of a sequence that was not started or is over."""
        info = sequence_of(request)
        sequence = self.sequences.get(info.id)
        if sequence is not None and sequence.lost and sequence.running is None and not sequence.waiting:
            self._close(sequence, "lost", sequence.lost)
            self._forget(sequence)
            sequence = None
        if sequence is None:
            if not info.start:
                raise self._refusal(request)
            sequence = Sequence(info.id)
        if self._may_enter(sequence, request):
            self.sequences[info.id] = sequence
            self._let_in(sequence, request)
            return True
        if len(self.line) >= self.policy.queue_max:
            raise Overloaded(
                f"{len(self.inside)} requests are inside and {len(self.line)} wait for their turn, a place or the"
                f" door, the most that `queue.max = {self.policy.queue_max}` allows",
                pipeline=self.name,
                request_id=request.id,
            )
        self.sequences[info.id] = sequence
        self.line[request] = None
        sequence.waiting.append(request)
        self._resting.pop(sequence, None)
        if sequence.running is None and len(sequence.waiting) == 1:
            self._queue(sequence)
        return False

    def _may_enter(self, sequence: Sequence, request: Request) -> bool:
        """At once: nothing of its sequence is before it, it needs no seat or gets one, and the door has room."""
        if sequence.running is not None or sequence.waiting or self._turn or not self._fits(request):
            return False
        return sequence.seats is not None or (not self._unseated and self._seat(sequence))

    def _seat(self, sequence: Sequence) -> bool:
        """Take a seat at every stage, or none."""
        needed = Counter(self._places.values())
        if any(seats.free < count for seats, count in needed.items()):
            return False
        sequence.seats = {node: seats.take() for node, seats in self._places.items()}
        return True

    def _let_in(self, sequence: Sequence, request: Request) -> None:
        assert sequence.seats is not None
        sequence.running = request
        request.seats = sequence.seats
        self._resting.pop(sequence, None)
        self._enter(request)

    def _queue(self, sequence: Sequence) -> None:
        (self._unseated if sequence.seats is None else self._turn)[sequence] = None

    def _refusal(self, request: Request) -> InvalidArgument:
        info = sequence_of(request)
        why = self._over.get(info.id)
        told = f"sequence {info.id!r} is over: {why}" if why else f"there is no sequence {info.id!r}"
        text = f"{told}; the first request of a sequence says `start`"
        return InvalidArgument(text, pipeline=self.name, request_id=request.id)

    # ---- out

    def finish(self, request: Request, answered: bool) -> list[Request]:
        """As `Door.finish`. Requests that wait for a sequence that is over now are in `refused`."""
        sequence = self.sequences.get(sequence_of(request).id)
        if request in self.inside:
            self._leave(request)
            assert sequence is not None
            self._ran(sequence, request, answered)
            self._next(sequence)
        elif request in self.line:
            del self.line[request]
            assert sequence is not None
            first = sequence.waiting[0] is request
            sequence.waiting.remove(request)
            if first and sequence.running is None:
                self._turn.pop(sequence, None)
                self._unseated.pop(sequence, None)
                self._next(sequence)
        return self._advance_all()

    def _ran(self, sequence: Sequence, request: Request, answered: bool) -> None:
        """What the end of a request means for its sequence."""
        info = sequence_of(request)
        sequence.running = None
        if sequence.lost:
            self._close(sequence, "lost", sequence.lost)
        elif answered:
            sequence.begun = True
            for seat in (sequence.seats or {}).values():
                seat.settle(request, info.start)
            if info.end:
                self._close(sequence, "end", "it was ended")
        else:
            for seat in (sequence.seats or {}).values():
                seat.undo(request)
            if not sequence.begun:
                self._close(sequence, "failed", "its first request failed")

    def _next(self, sequence: Sequence) -> None:
        """Let the next request of a sequence have its turn; refuse those that came for one that is over."""
        while sequence.waiting:
            request = sequence.waiting[0]
            if sequence.seats is not None or sequence_of(request).start:
                self._queue(sequence)
                return
            del sequence.waiting[0], self.line[request]
            self.refused.append((request, self._refusal(request)))
        if sequence.seats is None:
            self._forget(sequence)
            return
        sequence.due_ns = self._now() + self.idle_ns
        self._resting[sequence] = None
        if not self._armed:
            self._armed = True
            self.wake(sequence.due_ns)

    def _close(self, sequence: Sequence, how: str, why: str) -> None:
        """A sequence is over: its seats are free."""
        self.ended[how] += 1
        for node, seat in (sequence.seats or {}).items():
            self._places[node].release(seat)
        sequence.seats, sequence.begun = None, False
        self._over[sequence.id] = why
        self._over.move_to_end(sequence.id)
        if len(self._over) > REMEMBERED:
            self._over.popitem(last=False)

    def _forget(self, sequence: Sequence) -> None:
        self._resting.pop(sequence, None)
        self.sequences.pop(sequence.id, None)

    def expire(self) -> list[Request]:
        """End sequences that have rested too long; requests that may enter in their place."""
        now = self._now()
        self._armed = False
        while self._resting and (first := next(iter(self._resting))).due_ns <= now:
            self._close(first, "idle", f"it sent nothing for {duration(self.idle_ns)}")
            self._forget(first)
        if self._resting:
            self._armed = True
            self.wake(next(iter(self._resting)).due_ns)
        return self._advance_all()

    def _advance_all(self) -> list[Request]:
        entering = self._advance()
        for rival in self.rivals:
            entering += rival._advance()
        return entering

    def _advance(self) -> list[Request]:
        """Let in what may enter now: sequences that have seats before those that need some."""
        entering: list[Request] = []
        for queue in (self._turn, self._unseated):
            while queue:
                sequence = next(iter(queue))
                request = sequence.waiting[0]
                if not self._fits(request) or (sequence.seats is None and not self._seat(sequence)):
                    break
                del queue[sequence], self.line[request], sequence.waiting[0]
                self._let_in(sequence, request)
                entering.append(request)
        return entering

    def problems(self) -> list[str]:
        """What is left of sequences though no request is inside. For `Engine.check_idle`."""
        found = [f"{self.name}: sequence {s.id!r} has requests" for s in self.sequences.values() if s.waiting]
        found += [f"{self.name}: sequence {s.id!r} runs" for s in self.sequences.values() if s.running is not None]
        asleep = [s for s in self.sequences.values() if s not in self._resting]
        return found + [f"{self.name}: sequence {s.id!r} never ends" for s in asleep]
