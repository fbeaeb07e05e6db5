"""What a backend is: it loads a stage into instances, and an instance executes batches.

    StagePlan --Backend.load--> Instance --execute(Batch)--> BatchResult

Ownership. Inputs belong to the executor: they are read-only, shared with other branches, and valid until
`execute` returns. Outputs belong to the executor from the moment `execute` returns: an instance must not
write them again, nor hand out the same buffer twice. Returning an input or a view of it is allowed and
copies nothing. Threads. The executor never calls one instance from two threads at a time, but successive
calls may come from different threads, unless the instance says `thread_affine`. `execute` may block; it
should release the GIL.

Devices. On the host (`InstanceConfig.device` is `cpu`) arrays are numpy's, and an instance returns finished values. On
an accelerator (`cuda:1`, `sim:0`)

    - the executor calls `execute` inside `with batch.stream.use()`: the stream is the calling thread's current one, in
      every library that has such a thing, and `device.current()` gives it where a batch does not;
    - inputs of numeric ports with dims are `device.DeviceArray`s: contiguous, read-only, and ordered on the stream
      already; a `Ragged` may hold such arrays in its packed or padded form, lengths and offsets are on the host; text,
      objects and rank 0 are host values;
    - outputs of numeric ports with dims must be `DeviceArray`s of the same device, made with `device.empty(..)` or
      `device.adopt(library_array, ..)`, and ordered on the stream when `execute` returns; one that is an input, or a
      view of it, must stay in the input's block (`adoption` sees to that);
    - `execute` only enqueues: it must not wait for the device, nor drop what enqueued work still needs
      (`stream.keep`). Where a library makes it wait, the instance is not `asynchronous`.

Streams. A call of a stage with stream outputs returns at once, with `BatchResult.elements`: a generator that makes
one element at a time. The executor advances it only while there is room for what it makes, holds the instance
meanwhile, and leaves it parked otherwise: between two elements other calls of the instance may run. Inputs stay valid
until it ended or was closed, which happens once, whatever becomes of the request; it may be closed before it was
ever advanced. A port of type `stream T` among the inputs holds a `streams.Reader`, an iterator that waits for
elements; the executor calls a stage that has one from a thread of the instance's own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from pipeline_dsl.plan import StagePlan

from .values import Value


class BackendError(Exception):
    """A stage that can not be loaded. The message says what and where, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StageDied(Exception):
    """The process of an isolated instance ended while or before it ran a batch."""


class StageHung(StageDied):
    """The process was killed because a batch did not end in time."""


def _never() -> bool:
    return False


@dataclass(slots=True)
class Batch:
    """Tensors and row counts; a backend never sees a request."""

    inputs: tuple[Value, ...]
    """In port order of the stage; None for an absent optional."""
    rows: int
    """Rows along `*`; 1 for a stage without it."""
    sizes: tuple[int, ...] = ()
    """Rows of each request, in order; sums to `rows`."""
    request_ids: tuple[str, ...] = ()
    deadline_ns: int | None = None
    """Monotonic; the latest of the batch's requests."""
    cancelled: Callable[[], bool] = _never
    """True once every request of the batch has ended."""
    stream: Any = None
    """A `backends.device.Stream` of the instance's device; None outside of an engine."""
    node: str = ""
    """Call site, for logs."""


Elements: TypeAlias = Generator[tuple[Value, ...], None, tuple[Value, ...]]
"""Yields one value for each stream output, in port order, and returns the other outputs in port order."""


@dataclass(slots=True)
class BatchResult:
    """Outputs of one batch, in port order; `failed` maps a row to the exception that stands in its place.

    For a failed row the outputs hold anything of the right shape. For an instance without `*` the row is
    0."""

    outputs: tuple[Value, ...]
    failed: Mapping[int, Exception] | None = None
    elements: Elements | None = None
    """Of a stage with stream outputs; `outputs` is empty then."""


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """What differs between the instances of one stage."""

    index: int = 0
    device: str = "cpu"
    threads: int = 1
    """Compute threads this instance may use."""
    on_copy: Callable[[int, str], None] | None = field(default=None, compare=False)
    """Called with (bytes, reason) for each copy of tensor data the instance makes."""
    stream: Any = field(default=None, compare=False)
    """A `backends.device.Stream` of its device that all its batches will run on; an instance that is bound to a stream
    must take this one. None where each batch brings its own."""


@runtime_checkable
class Instance(Protocol):
    """One loaded copy of a stage.

    It may have these attributes too:

    wants_context = False    it reads nothing of a batch but `inputs`, `rows` and `stream`: the rest is left at its
                             defaults then, which saves time per batch
    asynchronous = True      on an accelerator: `execute` enqueues and returns, and never waits for the device
    stream: Stream           on an accelerator: the one that the instance is bound to; its batches run on that
    capturable = True        on an accelerator: `execute` may be written into a graph; it launches on the batch's
                             stream only, reads nothing back, and depends on nothing but shapes"""

    thread_affine: bool
    """All calls must come from the thread that loaded it."""

    def execute(self, batch: Batch) -> BatchResult:
        """Run one batch. Raising fails the batch; the executor decides what is run again.

        A result's names, dtypes and shapes are checked by the executor, not here."""

    def warmup(self) -> None:
        """Called once after loading, before the first batch; may do nothing."""

    def close(self) -> None:
        """Release everything. Called once, never while a batch runs."""


@runtime_checkable
class Backend(Protocol):
    """A way to run stages; one object per process."""

    name: str

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """A ready instance. BackendError with file, stage and hint if it can not be made. May be slow; may
        be called for several instances at a time."""
