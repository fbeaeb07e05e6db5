"""Memory for outputs whose size the engine finds out while it runs.

The library calls back from within the launch: it asks for bytes, and tells the shape before the launch returns. A new
one serves each run, since its memory goes to whoever reads the output; it must live until the run has ended."""

from __future__ import annotations

from functools import cache
from typing import Any

from . import memory


@cache
def allocator_type(trt: Any) -> Any:
    """The allocator class of a library module; one class for each."""

    class Allocator(trt.IOutputAllocator):  # type: ignore[misc]  # the base class is a value here
        """Allocates on the stream of the run. What goes wrong inside is kept in `error`: a callback can not raise."""

        def __init__(self, stream: Any) -> None:
            trt.IOutputAllocator.__init__(self)
            self.stream = stream
            self.buffer: Any = None
            self.shape: tuple[int, ...] | None = None
            self.error: BaseException | None = None

        def reallocate_output_async(self, tensor_name: str, memory: int, size: int, alignment: int, stream: int) -> int:
            return self._allocate(size, alignment)

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int:
            return self._allocate(size, alignment)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            self.shape = tuple(shape)

        def _allocate(self, size: int, alignment: int) -> int:
            """Address of at least one byte; 0 if there is none."""
            try:
                buffer = memory.empty((max(size, 1),), "uint8", self.stream)
                if alignment and buffer.address % alignment:
                    raise MemoryError(f"address {buffer.address:#x} is no multiple of {alignment}")
            except BaseException as error:
                self.error = error
                return 0
            self.buffer = buffer
            return int(buffer.address)

    return Allocator
