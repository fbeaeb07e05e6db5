"""Backend `python`: a function or a class of the user, called with ports by name (LANGUAGE §7).

`python("pkg.mod:name", key = value)`. A function is called as it is; a class is built once per instance with
the keys, its `warmup` and `close` are called if it has them; a parameter `folder` that no key fills gets the
folder of the `.pipe`, where relative paths start. All that can be decided before a call is
decided at load: the callable's parameters, conversion of inputs and of what it returns. `each = true` calls
it row by row (see `each`). A stage with stream outputs is a generator: it yields elements and returns its other
outputs (see `generators`)."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable
from typing import Any

from pipeline_dsl.plan import StagePlan

from .artifact import ARTIFACT, host_only, keys_of, missing_library
from .base import BackendError, Batch, BatchResult, Instance, InstanceConfig
from .each import each_row
from .generators import Yields, streams
from .importer import acquire, release
from .returns import Returns
from .signature import CONTEXT, check_call, check_setup, place_of, with_folder
from .streams import Reader
from .values import Ragged

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
        host_only(stage, config.device)
        target = acquire(str(stage.arguments.get(ARTIFACT, "")), stage.folder, stage.name)
        try:
            return PythonInstance(stage, config, target)
        except BaseException:
            release(stage.folder)
            raise


class PythonInstance:
    """One function, or one object of a class."""

    thread_affine = False
    __slots__ = ("_folder", "_object", "execute", "wants_context")

    def __init__(self, stage: StagePlan, config: InstanceConfig, target: Any) -> None:
        keys = keys_of(stage, "each", "arrays")
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
        fn = _with_tensors(fn, stage)
        if stage.arguments.get("each"):
            self.execute: Execute = each_row(fn, keys, stage, config, context)
        else:
            self.execute = _whole_batch(fn, keys, stage, context)

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
            found()


def context_maker(stage: StagePlan, config: InstanceConfig, wanted: bool) -> Callable[[Batch], Context] | None:
    """What makes the `ctx` of a call, if the callable takes one."""
    log = logging.getLogger(f"pipectl.stage.{stage.name}")
    return (lambda batch: Context(batch, config.device, log)) if wanted else None


def _whole_batch(
    fn: Callable[..., Any], keys: dict[str, Any], stage: StagePlan, context: Callable[[Batch], Context] | None
) -> Execute:
    names = tuple(port.name for port in stage.inputs)
    returns = Yields(stage) if streams(stage) else Returns(stage)
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


def _with_tensors(fn: Callable[..., Any], stage: StagePlan) -> Callable[..., Any]:
    """`fn` itself, or with `arrays = "torch"` one that gets numeric arrays as tensors."""
    kind = stage.arguments.get("arrays", "numpy")
    if kind == "numpy":
        return fn
    if kind != "torch":
        raise BackendError(f"stage `{stage.name}`: arrays = {kind!r} is unknown", 'write "numpy" or "torch"')
    try:
        import torch  # noqa: F401 - its absence is to be reported at load
    except ImportError as error:
        raise missing_library(stage, "torch", "torch", error) from error
    from .interop import to_torch

    numeric = {p.name for p in stage.inputs if p.type.dtype.numeric and p.type.dims}

    def tensor(value: Any) -> Any:
        if isinstance(value, Reader):
            return map(tensor, value)
        if isinstance(value, Ragged):
            return [to_torch(row) for row in value]
        return to_torch(value) if hasattr(value, "ndim") else value

    def with_tensors(**arguments: Any) -> Any:
        return fn(**{name: tensor(v) if name in numeric else v for name, v in arguments.items()})

    return with_tensors
