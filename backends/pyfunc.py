"""Backend `python`: a function or a class of the user, called with ports by name (LANGUAGE §7).

`python("pkg.mod:name", key = value)`. A function is called as it is; a class is built once per instance with
the keys, its `warmup` and `close` are called if it has them; a parameter `folder` that no key fills gets the
folder of the `.pipe`, where relative paths start. All that can be decided before a call is
decided at load: the callable's parameters, conversion of inputs and of what it returns. `each = true` calls
it row by row (see `each`). A stage with stream outputs is a generator: it yields elements and returns its other
outputs (see `generators`).

On `cuda:N` it is called under the batch's stream and gets arrays of CuPy or torch over the same memory (see
`arguments`); what it returns must be on that GPU, and is taken without a copy (see `adoption`). Shapes that depend on
data are between the function and its library: those calls wait for the device, others do not. With `capture = true`
calls may be written into a graph: they launch on the current stream, read nothing back and depend on shapes alone."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline_dsl.plan import StagePlan

from .adoption import Adoption
from .arguments import with_library
from .artifact import ARTIFACT, keys_of
from .base import BackendError, Batch, BatchResult, Instance, InstanceConfig
from .each import each_row
from .generators import Yields, streams
from .importer import acquire, release
from .placement import host_or_cuda, settled
from .returns import Returns
from .signature import CONTEXT, check_call, check_setup, place_of, with_folder

if TYPE_CHECKING:
    from .device import Accelerator

Execute = Callable[[Batch], BatchResult]


class Context:
    """What a stage may know about the call it serves: the parameter `ctx`."""

    __slots__ = ("_batch", "device", "log")

    def __init__(self, batch: Batch, device: str, log: logging.Logger) -> None:
        self._batch = batch
        self.device = device
        self.log = log

    @property
    def remaining(self) -> float | None:
        """Seconds until the latest deadline of the batch; None without one."""
        deadline = self._batch.deadline_ns
        return None if deadline is None else max(0.0, (deadline - time.monotonic_ns()) / 1e9)

    @property
    def request_ids(self) -> tuple[str, ...]:
        return self._batch.request_ids

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each request, in order."""
        return self._batch.sizes

    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._batch.cancelled()


class PythonBackend:
    """Loads python stages."""

    name = "python"

    def load(self, stage: StagePlan, config: InstanceConfig) -> Instance:
        """An instance that calls the user's code. BackendError if it can not be found, built or called."""
        device = host_or_cuda(stage, config.device)
        target = acquire(str(stage.arguments.get(ARTIFACT, "")), stage.folder, stage.name)
        try:
            with settled(device):
                return PythonInstance(stage, config, target, device)
        except BaseException:
            release(stage.folder)
            raise


class PythonInstance:
    """One function, or one object of a class."""

    thread_affine = False
    __slots__ = ("_device", "_folder", "_object", "capturable", "execute", "wants_context")

    def __init__(
        self, stage: StagePlan, config: InstanceConfig, target: Any, device: Accelerator | None = None
    ) -> None:
        self._device = device
        keys = keys_of(stage, "each", "arrays", "capture")
        self._folder = stage.folder
        self._object = None
        if inspect.isclass(target):
            keys = with_folder(target, keys, stage)
            check_setup(target, keys, stage)
            self._object = fn = _built(target, keys, stage)
            keys = {}
        elif callable(target):
            fn = target
        else:
            raise BackendError(f"stage `{stage.name}`: {stage.arguments[ARTIFACT]} is no function and no class")
        self.wants_context = check_call(fn, keys, stage)
        """Whether `execute` reads more of a batch than inputs and rows."""
        context = context_maker(stage, config, self.wants_context)
        self.capturable = device is not None and bool(stage.arguments.get("capture"))
        """The user says so: a graph that gives something else is found when it is captured, and dropped."""
        fn = with_library(fn, stage, device)
        adoption = None if device is None else Adoption(stage, device)
        if stage.arguments.get("each"):
            self.execute: Execute = each_row(fn, keys, stage, config, context, adoption)
        else:
            self.execute = _whole_batch(fn, keys, stage, context, adoption)

    def warmup(self) -> None:
        """Call the object's own `warmup`, if it has one."""
        self._call("warmup")

    def close(self) -> None:
        """Call the object's own `close`, if it has one, and drop it."""
        try:
            self._call("close")
        finally:
            self._object = None
            release(self._folder)

    def _call(self, method: str) -> None:
        found = getattr(self._object, method, None)
        if callable(found):
            with settled(self._device):
                found()


def context_maker(stage: StagePlan, config: InstanceConfig, wanted: bool) -> Callable[[Batch], Context] | None:
    """What makes the `ctx` of a call, if the callable takes one."""
    log = logging.getLogger(f"pipectl.stage.{stage.name}")
    return (lambda batch: Context(batch, config.device, log)) if wanted else None


def _whole_batch(
    fn: Callable[..., Any],
    keys: dict[str, Any],
    stage: StagePlan,
    context: Callable[[Batch], Context] | None,
    adoption: Adoption | None,
) -> Execute:
    names = tuple(port.name for port in stage.inputs)
    made_by = None if adoption is None else adoption.converter
    returns = Yields(stage, made_by) if streams(stage) else Returns(stage, made_by)
    if context is None and not keys:
        if len(names) == 1:
            (only,) = names
            return lambda batch: returns(fn(**{only: batch.inputs[0]}), batch)
        return lambda batch: returns(fn(**dict(zip(names, batch.inputs))), batch)

    def execute(batch: Batch) -> BatchResult:
        arguments = dict(zip(names, batch.inputs))
        if context is not None:
            arguments[CONTEXT] = context(batch)
        return returns(fn(**arguments, **keys), batch)

    return execute


def _built(cls: type, keys: dict[str, Any], stage: StagePlan) -> Any:
    try:
        return cls(**keys)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise BackendError(f"stage `{stage.name}`: building {place_of(cls)} failed: {text}") from error
