"""A captured graph that is launched for one batch after the other.

    inputs --copied--> static inputs --graph--> the graph's own outputs --> lent out, or copied out

A graph reads and writes the same memory each time. A batch's outputs may still be read when the next one comes: by
work that was launched, or by somebody who has not launched anything yet. So there are several copies of the graph. The
outputs of one are lent out as long as another is free: `Loan` knows when nobody refers to them any more, and the next
launch of that copy comes behind everything that read them. The last free copy is never lent; its outputs are copied
out, so there is always one to run on, and no launch ever overwrites what somebody holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.device import Accelerator, DeviceArray, Stream
from backends.device.block import Block
from backends.device.capture import Hold
from backends.device.driver import Handle
from backends.device.ops import assigned
from backends.values import Value
from pipeline_dsl.plan import PortPlan
from pipeline_dsl.types import Rows, Sized


class Copy:
    """One graph and the outputs it writes."""

    __slots__ = ("graph", "hold", "lent", "outputs")

    def __init__(self, graph: Handle, hold: Hold, outputs: Sequence[Value]) -> None:
        self.graph = graph
        self.hold = hold
        self.outputs: list[DeviceArray] = [o for o in outputs if isinstance(o, DeviceArray)]
        self.lent = False
        """Somebody refers to its outputs."""


class Loan(Block):
    """Outputs of a copy while somebody refers to them. Memory stays the copy's."""

    __slots__ = ("copy",)

    def __init__(self, copy: Copy, stream: Stream) -> None:
        super().__init__(stream.device, None, 0, stream, owner=copy)
        self.copy = copy
        copy.lent = True

    def retire(self) -> None:
        """Nobody refers to them any more: the copy may run again behind those who read them."""
        copy = self.copy
        with self.device.lock:
            super().retire()
            for output in copy.outputs:  # its stream is behind all of them now
                output.block.was_read(self.stream, self.stream.ticks)
            copy.lent = False


class Captured:
    """All copies of one graph, with the inputs they share."""

    def __init__(self, statics: Sequence[DeviceArray], has_rows: bool, device: Accelerator) -> None:
        """`has_rows`: inputs and outputs have one row for each of a batch, and may be more than a batch has."""
        self.statics = list(statics)
        self.copies: list[Copy] = []
        """The one that was used last, last."""
        self._has_rows = has_rows
        self._device = device

    def replay(self, inputs: Sequence[Value], rows: int, stream: Stream) -> tuple[DeviceArray, ...]:
        """Run a batch on a stream; the outputs are ready on it, and nobody writes them again."""
        with self._device.lock:
            self._device.retire_dropped()
            self.fill(inputs, rows, stream)
            copy = next(c for c in self.copies if not c.lent)
            lend = sum(not c.lent for c in self.copies) > 1
            self.copies.remove(copy)
            self.copies.append(copy)
            self.launch(copy, stream)
            own = {static.block for static in self.statics}
            loan = Loan(copy, stream) if lend and any(o.block not in own for o in copy.outputs) else None
            return tuple([self._handed_out(o, rows, stream, None if o.block in own else loan) for o in copy.outputs])

    def fill(self, inputs: Sequence[Value], rows: int, stream: Stream) -> None:
        """Put a batch's inputs into the first rows of the static ones; what is in the others is ignored."""
        for static, value in zip(self.statics, inputs):
            if value is None:  # nobody reads it
                continue
            stream.launch(assigned, writes=[static[:rows] if self._has_rows else static], reads=[value])

    def clear(self, stream: Stream) -> None:
        """Make the static inputs zeros."""
        for static in self.statics:
            stream.launch(zeroed, writes=[static])

    def launch(self, copy: Copy, stream: Stream) -> None:
        """Launch one copy behind all that used what it uses."""
        with self._device.lock:
            stream.order(writes=copy.outputs, reads=self.statics)
            try:
                self._device.driver.replay(copy.graph, stream.handle)
            finally:
                stream.launched(writes=copy.outputs, reads=self.statics)

    def close(self) -> None:
        """Let the graphs go, when the device is through with them."""
        stream = self._device.side
        with self._device.lock:
            for copy in self.copies:
                stream.order(writes=copy.outputs)
                stream.keep(copy.graph)
            stream.launched()
            stream.record()
        for copy in self.copies:
            copy.hold.close(stream)
        self.copies = []

    def _handed_out(self, output: DeviceArray, rows: int, stream: Stream, loan: Loan | None) -> DeviceArray:
        part = output[:rows] if self._has_rows else output
        if loan is not None:
            return DeviceArray(part.data, loan, part.dtype)
        return self._device.compute(part.shape, part.dtype, assigned, [part], stream)


def static_inputs(ports: Sequence[PortPlan], rows: int | None, stream: Stream) -> list[DeviceArray]:
    """Zeros of the shapes that the ports have with that many rows. The ports are of static shape but for those."""
    made = []
    for port in ports:
        shape = [
            rows if isinstance(dim, Rows) else dim.size.value for dim in port.type.dims if isinstance(dim, Rows | Sized)
        ]
        static = stream.device.empty([size or 0 for size in shape], port.type.dtype.numpy, stream)
        if static.size:
            stream.launch(zeroed, writes=[static])
        made.append(static)
    return made


def zeroed(out: Any) -> None:
    """Make an array zeros."""
    out[...] = 0
