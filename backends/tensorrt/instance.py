"""One instance: values of a batch to addresses, a run, addresses to outputs.

Everything that the run touches is kept until the stream has passed it: inputs (the executor keeps them only until
`execute` returns), host arrays, allocators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.base import Batch, BatchResult, InstanceConfig
from backends.ort_tensors import Slot
from backends.states import CONTROLS
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.types import Sized

from . import memory
from .allocator import allocator_type
from .context import Context
from .engine import Engine
from .errors import EngineError


class TensorrtInstance:
    """One execution context and the ports it serves."""

    thread_affine = False

    def __init__(
        self,
        engine: Engine,
        slots: tuple[Sequence[Slot], Sequence[Slot]],
        stage: StagePlan,
        config: InstanceConfig,
        stream: Any,
    ) -> None:
        self._engine = engine
        self._inputs, self._outputs = slots
        self._stage = stage
        self._on_copy = config.on_copy
        self._stream = stream
        self._context = Context(engine, stage)
        self._allocator = allocator_type(engine.library.trt)
        self._nothing = memory.empty((memory.ALIGNMENT,), "uint8", stream)
        """What stands for arrays without items, which have no address."""
        self._waits = bool(engine.on_host) or any(slot.port.form == "scalar" for slot in self._outputs)
        """Some values are read on the host."""
        self._dependent = self._depends_on_data(stream)
        """An output's size is known only once it was made."""

    @property
    def asynchronous(self) -> bool:
        """Whether `execute` returns without waiting for the device. The library itself waits where an output's size
        depends on data."""
        return not self._waits and not self._dependent

    @property
    def capturable(self) -> bool:
        """Whether runs may be captured in a CUDA graph, each after one of the same shapes that was not (`settled`)."""
        return self.asynchronous and self._context.capturable()

    @property
    def settled(self) -> bool:
        """Whether the shapes of the last run have run: the next one of these shapes may be captured."""
        return self._context.settled

    def execute(self, batch: Batch) -> BatchResult:
        """Enqueue one run. Outputs are ready on the batch's stream; without one, when this returns.

        EngineError if the library refuses a call, InvalidInput for shapes that no profile holds."""
        stream = self._stream if batch.stream is None else batch.stream
        with stream.use():
            outputs = self._run(batch, stream)
        if batch.stream is None:
            stream.synchronize()
        return BatchResult(outputs)

    def warmup(self) -> None:
        """The first run warms up; the executor makes it where the plan says so."""

    def close(self) -> None:
        """Wait for what was launched, and drop the context; results given out stay valid."""
        with self._stream.use():
            self._context.close()
        del self._context, self._engine, self._nothing

    def _depends_on_data(self, stream: Any) -> bool:
        """Asked with the shapes that the first profile is tuned for. Engines that read sizes on the host can not be
        asked without them, and wait for the device anyway."""
        if self._engine.on_host or not self._engine.profiles:
            return False
        shapes = {name: tuple(r.best for r in ranges) for name, ranges in self._engine.profiles[0].items()}
        self._context.shape(shapes, stream)
        self._context.infer()
        return any(-1 in self._context.shape_of(slot.tensor.name) for slot in self._outputs)

    # ---- one run

    def _run(self, batch: Batch, stream: Any) -> tuple[Any, ...]:
        if self._stage.has_rows and not batch.rows:
            return tuple(self._without_rows(slot, stream) for slot in self._outputs)
        held: list[Any] = list(batch.inputs)
        try:
            given = {s.tensor.name: self._entered(s, v, stream, held) for s, v in zip(self._inputs, batch.inputs)}
            return self._launched(given, stream, held)
        finally:  # a run that failed may have enqueued a part of its work
            stream.keep(*held)

    def _launched(self, given: dict[str, Any], stream: Any, held: list[Any]) -> tuple[Any, ...]:
        context = self._context
        context.shape({name: tuple(value.shape) for name, value in given.items()}, stream)
        for name, value in given.items():
            context.bind(name, self._address(value))
        context.infer()
        made = [self._prepared(slot, stream) for slot in self._outputs]
        held += made
        reads = [value for value in given.values() if memory.on_device(value)]
        memory.order(stream, [m for m in made if memory.on_device(m)], reads)
        try:
            context.launch(stream)
        except EngineError:
            self._check_memory(made)  # what was short is the cause then
            raise
        finally:
            buffers = [m.buffer if isinstance(m, self._allocator) else m for m in made]
            memory.launched(stream, [b for b in buffers if memory.on_device(b)], reads)
        self._check_memory(made)
        return tuple(self._left(slot, output, stream) for slot, output in zip(self._outputs, made))

    def _entered(self, slot: Slot, value: Any, stream: Any, held: list[Any]) -> Any:
        """The value as the engine reads it: a device array, or a host array for a tensor of sizes."""
        dtype = DTYPES[slot.tensor.dtype].numpy
        if value is None:
            raise EngineError(self._stage.name, slot.tensor.name, f"port `{slot.port.name}` has no value")
        if slot.port.filled in CONTROLS:
            value = self._control(slot, value, stream)
        on_host = not memory.on_device(value)
        if slot.tensor.name in self._engine.on_host:
            if not on_host:
                self._copied(value.nbytes, "shape tensor")
                value = memory.download(value, stream)
            made = np.asarray(value, dtype, order="C")
        elif on_host:
            array = np.asarray(value, dtype)
            self._copied(array.nbytes, "upload")
            made = memory.upload(array, stream)
        else:
            made = memory.aligned(value, stream)
            if made is not value:
                self._copied(value.nbytes, "alignment")
        held.append(made)
        return made

    def _control(self, slot: Slot, value: Any, stream: Any) -> Any:
        """Control values in the dtype and rank of the engine's tensor."""
        if memory.on_device(value):
            value = memory.download(value, stream)
        rows = slot.port.type.has_rows
        shape = [-1 if rows and axis == 0 else 1 for axis in range(len(slot.tensor.shape))]
        return np.asarray(value).astype(DTYPES[slot.tensor.dtype].numpy).reshape(shape)

    def _prepared(self, slot: Slot, stream: Any) -> Any:
        """Memory for an output, bound: a device array, a host array for sizes, or an allocator."""
        context, name = self._context, slot.tensor.name
        shape, dtype = context.shape_of(name), DTYPES[slot.tensor.dtype].numpy
        if -1 in shape:
            allocator = self._allocator(stream)
            context.allocate(name, allocator)
            return allocator
        made = np.empty(shape, dtype) if name in self._engine.on_host else memory.empty(shape, dtype, stream)
        context.bind(name, self._address(made))
        return made

    def _left(self, slot: Slot, output: Any, stream: Any) -> Any:
        """The output as the executor takes it."""
        if isinstance(output, self._allocator):
            output = self._allocated(slot, output)
        on_host = not memory.on_device(output)
        if on_host:
            stream.synchronize()
        if slot.port.form == "scalar":
            return (output if on_host else memory.download(output, stream)).item()
        if on_host:
            self._copied(output.nbytes, "upload")
            return memory.upload(output, stream)
        return output

    def _check_memory(self, made: Sequence[Any]) -> None:
        """MemoryError or EngineError for an output that got no memory."""
        for slot, output in zip(self._outputs, made):
            error = output.error if isinstance(output, self._allocator) else None
            if isinstance(error, MemoryError):
                raise MemoryError(f"stage `{self._stage.name}`, tensor `{slot.tensor.name}`: {error}") from error
            if error is not None:
                raise EngineError(self._stage.name, slot.tensor.name, f"it got no memory: {error}") from error

    def _allocated(self, slot: Slot, output: Any) -> Any:
        shape = output.shape
        if output.buffer is None or shape is None or min(shape, default=0) < 0:
            message = f"the engine did not say what it made: shape {shape}"
            raise EngineError(self._stage.name, slot.tensor.name, message)
        return memory.shaped(output.buffer, shape, DTYPES[slot.tensor.dtype].numpy)

    def _without_rows(self, slot: Slot, stream: Any) -> Any:
        """An output of a batch without rows, which no engine runs; sizes that are not known are 0."""
        dims = slot.port.type.dims
        shape = [d.size.value or 0 if isinstance(d, Sized) else 0 for d in dims]
        return memory.empty(shape, slot.port.type.dtype.numpy, stream)

    def _address(self, value: Any) -> int:
        address = value.address if memory.on_device(value) else value.ctypes.data
        return int(address if value.nbytes else self._nothing.address)

    def _copied(self, size: int, reason: str) -> None:
        if self._on_copy is not None:
            self._on_copy(size, reason)
