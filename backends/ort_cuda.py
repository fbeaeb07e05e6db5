"""Backend `onnx` on a GPU: a session of ONNX Runtime's CUDA provider, bound to a stream of its own.

    DeviceArray --pointer--> binding of one run --run--> outputs in our memory, or in the runtime's, adopted

A session launches on the stream it was made with and on no other, so the instance has it as its `stream`. Every run
gets a binding of its own: one that is kept would write the next results over the last ones. Outputs whose shapes follow
from the signature and the inputs are bound to memory of the executor; of the others the runtime's memory is adopted.

A run ends with two waits of the host, unless all it reads and writes is on the device and no operation of the model
runs on the CPU. Where that is so the waits are left out, after runs without them were compared with runs that have
them (`ort_probe`); otherwise they stay, and the instance is not `asynchronous`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.plan import StagePlan

from .base import BackendError, Batch, BatchResult, InstanceConfig
from .chunks import in_chunks
from .device import Accelerator, DeviceArray, Stream
from .device.array import storage
from .ort_tensors import Slot
from .shapes import Dims, Mismatch, Sizes, dims_of, packed_dims, target_of
from .states import CONTROLS

log = logging.getLogger("pipectl")

PROVIDER = "CUDAExecutionProvider"
NUMBERS = {
    **{"f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "bool": 9},
    **{"f16": 10, "f64": 11, "u32": 12, "u64": 13, "bf16": 16},
}
"""ONNX's numbers for our dtypes."""

SPARE = 256
"""Bytes that a binding of an array without items points at: a pointer of 0 would mean none."""


def check_provider(ort: Any, stage: StagePlan, device: str) -> None:
    """BackendError if the runtime that is installed was built without CUDA."""
    if PROVIDER not in ort.get_available_providers():
        raise BackendError(
            f"stage `{stage.name}`: the onnxruntime {ort.__version__} installed here runs on cpu, not on {device}",
            "pip uninstall onnxruntime, then pip install onnxruntime-gpu: one process can hold only one of them",
        )


def provider_options(device: Accelerator, stream: Stream, stage: StagePlan) -> dict[str, str]:
    """Options of the provider. BackendError for a stream that the runtime would take for none."""
    address = stream.address
    if not address:
        raise BackendError(
            f"stage `{stage.name}`: {device.name} gave its default stream (0), on which nothing is ordered",
            "this is a fault of the device layer: streams must be created",
        )
    options = {
        "device_id": str(device.driver.index),
        "user_compute_stream": str(address),
        "do_copy_in_default_stream": "1",
        "arena_extend_strategy": "kSameAsRequested",
    }
    limit = stage.extra.get("memory")
    if limit is not None:  # bytes, or a share of what the device has
        options["gpu_mem_limit"] = str(int(limit * device.memory()[1]) if isinstance(limit, float) else limit)
    return options


def open_session(
    ort: Any, path: Path, stage: StagePlan, options: Callable[[], Any], provider: dict[str, str]
) -> tuple[Any, bool]:
    """A session, and whether every operation runs on the GPU. The runtime's own exception if it can not be made;
    BackendError if it was made without the GPU.

    `options` makes session options anew, since a session keeps those it was made with."""
    if "torch" not in sys.modules and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # torch brings CUDA's libraries; without it they are looked for among the nvidia packages
    strict = options()
    strict.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        found = ort.InferenceSession(str(path), strict, providers=[(PROVIDER, provider)], enable_fallback=0)
        return found, True
    except Exception:  # an operation without a kernel for the GPU, or a file that is none: the next try tells which
        log.debug("stage %s: not all of %s runs on the GPU", stage.name, path, exc_info=True)
    providers = [(PROVIDER, provider), "CPUExecutionProvider"]
    session = ort.InferenceSession(str(path), options(), providers=providers, enable_fallback=0)
    if PROVIDER not in session.get_providers():
        raise BackendError(
            f"stage `{stage.name}`: ONNX Runtime could not start its CUDA provider, and would run {path} on the cpu",
            "are CUDA, cuDNN and cuBLAS of the versions that onnxruntime-gpu needs installed? `import torch` loads its "
            "own, `onnxruntime.preload_dlls()` those of the nvidia packages",
        )
    return session, False


class CudaInstance:
    """One session on one stream."""

    thread_affine = False
    wants_context = False
    __slots__ = ("_device", "_rows", "_run", "_session", "asynchronous", "stream")

    def __init__(
        self, session: Session, stage: StagePlan, config: InstanceConfig, asynchronous: Callable[[Session], bool]
    ) -> None:
        self._session: Session | None = session
        self.stream = session.stream
        """The stream that the session launches on: batches of this instance run on it."""
        self.asynchronous = session.waits_never = asynchronous(session)
        self._rows = stage.contract.rows
        self._run = in_chunks(self._chunk, stage, config) if self._rows else None

    def execute(self, batch: Batch) -> BatchResult:
        """One run of the session (one for each chunk of a fixed row axis)."""
        assert self._session is not None
        if self._run is None:
            return BatchResult(tuple(self._session.run(batch.inputs, batch.rows)))
        return BatchResult(tuple(self._run(batch.inputs, batch.rows)))

    def warmup(self) -> None:
        """The first run warms up; the executor makes it where the plan says so."""

    def close(self) -> None:
        """Drop the session; results given out stay valid."""
        self._session = None
        self._run = None

    def _chunk(self, inputs: tuple[Any, ...]) -> list[Any]:
        assert self._session is not None
        return self._session.run(inputs, self._rows or 1)


class Session:
    """Runs of one session: pointers in, device arrays out."""

    def __init__(
        self,
        ort: Any,
        session: Any,
        inputs: Sequence[Slot],
        outputs: Sequence[Slot],
        stream: Stream,
        config: InstanceConfig,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self.stream = stream
        self.device = stream.device
        self.waits_never = False
        """Runs leave out the waits at their end."""
        self._session = session
        self._on_copy = config.on_copy
        self._index = stream.device.driver.index
        self._spare = self.device.empty((SPARE,), np.uint8, stream)
        self._shapes = [OutputShape(slot) for slot in outputs]
        self._known = [(i, dims) for i, slot in enumerate(inputs) if (dims := _dims(slot)) is not None]
        self._async_options = ort.RunOptions()
        self._async_options.add_run_config_entry("disable_synchronize_execution_providers", "1")

    @property
    def all_on_device(self) -> bool:
        """Whether no output is wanted on the host."""
        return all(slot.port.form != "scalar" for slot in self.outputs)

    def run(self, inputs: Sequence[Any], rows: int) -> list[Any]:
        """Outputs in port order, ready on the session's stream."""
        stream, binding = self.stream, self._session.io_binding()
        read = [self._entering(slot, value) for slot, value in zip(self.inputs, inputs)]
        for slot, array in zip(self.inputs, read):
            self._bind_input(binding, slot, array)
        sizes = self._sizes(inputs, rows)
        made = [self._bind_output(binding, slot, shape, sizes) for slot, shape in zip(self.outputs, self._shapes)]
        stream.order(reads=read)
        self._session.run_with_iobinding(binding, self._async_options if self.waits_never else None)
        stream.launched(writes=[array for array in made if array is not None], reads=read)
        stream.keep(binding)  # what it holds of the runtime's memory is in use until the run has ended
        results = self._allocated(binding, made)
        return [self._leaving(slot, value) for slot, value in zip(self.outputs, results)]

    # ---- binding

    def _bind_input(self, binding: Any, slot: Slot, array: DeviceArray) -> None:
        number = NUMBERS[slot.tensor.dtype]
        binding.bind_input(slot.tensor.name, "cuda", self._index, number, list(array.shape), self._pointer(array))

    def _bind_output(self, binding: Any, slot: Slot, shape: OutputShape, sizes: Sizes) -> DeviceArray | None:
        """The memory that an output is bound to; None where the runtime allocates it."""
        name = slot.tensor.name
        if slot.port.form == "scalar":
            binding.bind_output(name, "cpu")
            return None
        known = shape.of(sizes)
        if known is None:
            binding.bind_output(name, "cuda", self._index)
            return None
        array = self.device.empty(known, slot.port.type.dtype.numpy, self.stream)
        number = NUMBERS[slot.tensor.dtype]
        binding.bind_output(name, "cuda", self._index, number, list(known), self._pointer(array))
        return array

    def _pointer(self, array: DeviceArray) -> int:
        address = array.address if array.size else self._spare.address
        if not address:
            raise RuntimeError(f"{array!r} has the address 0, which ONNX Runtime takes for no memory")
        return address

    def _allocated(self, binding: Any, made: Sequence[DeviceArray | None]) -> list[Any]:
        """All outputs; those in the runtime's memory are adopted, and keep it alive."""
        if all(array is not None for array in made):
            return list(made)
        results: list[Any] = []
        for slot, array, value in zip(self.outputs, made, binding.get_outputs()):
            if array is not None:
                results.append(array)
            elif slot.port.form == "scalar":
                results.append(value.numpy().item())
            else:
                dtype = slot.port.type.dtype.numpy
                empty = not all(value.shape())
                results.append(
                    self.device.empty(value.shape(), dtype, self.stream)
                    if empty
                    else self.device.adopt(RuntimeMemory(value, dtype), self.stream, dtype)
                )
        return results

    # ---- values

    def _sizes(self, inputs: Sequence[Any], rows: int) -> Sizes:
        sizes: Sizes = {"*": rows}
        for index, dims in self._known:
            try:
                dims.match(inputs[index].shape, sizes)
            except Mismatch:  # the runtime says more about an input it can not take
                continue
        return sizes

    def _entering(self, slot: Slot, value: Any) -> DeviceArray:
        """An input as the file's tensor wants it, on the device."""
        port, device = slot.port, self.device
        if port.filled in CONTROLS:
            return self._control(slot, value)
        if type(value) is not DeviceArray:
            return device.upload(np.array(value, port.type.dtype.numpy), self.stream)
        if not slot.permute:
            return value
        return self._permuted(value, slot.permute)

    def _control(self, slot: Slot, value: Any) -> DeviceArray:
        """Control values in the dtype and rank of the file's tensor."""
        dtype = DTYPES[slot.tensor.dtype].numpy
        rows = slot.port.type.has_rows
        shape = [-1 if rows and axis == 0 else 1 for axis in range(len(slot.tensor.shape))]
        if type(value) is not DeviceArray:
            return self.device.upload(np.asarray(value).astype(dtype).reshape(shape), self.stream)
        shape = [value.size if n == -1 else n for n in shape]

        def work(out: Any, source: Any) -> None:
            out[...] = source.reshape(shape)

        return self.device.compute(shape, dtype, work, [value], self.stream)

    def _leaving(self, slot: Slot, value: Any) -> Any:
        if not slot.permute:
            return value
        return self._permuted(value, tuple(int(axis) for axis in np.argsort(slot.permute)))

    def _permuted(self, array: DeviceArray, order: tuple[int, ...]) -> DeviceArray:
        def work(out: Any, source: Any) -> None:
            out[...] = source.transpose(order)

        if self._on_copy is not None:
            self._on_copy(array.nbytes, "permute")
        shape = [array.shape[axis] for axis in order]
        return self.device.compute(shape, array.dtype, work, [array], self.stream)


class OutputShape:
    """The shape of an output's tensor, as far as the signature and the inputs' sizes tell."""

    def __init__(self, slot: Slot) -> None:
        port = slot.port
        self._targets: list[Any] | None = None
        if port.form in ("dense", "padded") and not port.type.has_rest:
            dims = [port.type.dims[axis] for axis in slot.permute] if slot.permute else port.type.dims
            self._targets = [target_of(dim) for dim in dims]

    def of(self, sizes: Sizes) -> tuple[int, ...] | None:
        """Sizes of all axes; None if one is not known."""
        if self._targets is None:
            return None
        found = []
        for target in self._targets:
            size = sizes.get(target) if isinstance(target, str) else target
            if size is not None and not isinstance(size, int):
                try:
                    size = size.evaluate(sizes)
                except KeyError:
                    return None
            if not isinstance(size, int):
                return None
            found.append(size)
        return tuple(found)


class RuntimeMemory:
    """An output in memory of the runtime, as array libraries take one; it keeps that memory alive."""

    def __init__(self, value: Any, dtype: np.dtype[Any]) -> None:
        held = storage(dtype)
        self.value = value
        self.dtype = held
        self.__cuda_array_interface__ = {
            "data": (value.data_ptr(), False),
            "shape": tuple(value.shape()),
            "typestr": held.str,
            "strides": None,
            "version": 3,
        }


def _dims(slot: Slot) -> Dims | None:
    """What binds sizes by name; None for ports that tell none."""
    port = slot.port
    if port.filled in CONTROLS or port.form not in ("dense", "padded", "packed"):
        return None
    return packed_dims(port.type) if port.form == "packed" else dims_of(port.type)
