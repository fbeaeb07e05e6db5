"""Pipelines in a Python program: `load` starts them, an `App` answers.

    path or built module --compile--> Plan --load--> App --[name]--> PipelineHandle --(..)--> Response

An `App` is thread-safe. Leaving its `with` block answers what is under way, then stops everything.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from executor.engine import Engine
from executor.gpus import GPUS
from executor.metrics import render
from executor.request import Job, Response
from executor.sequence import SequenceInfo
from executor.streaming.answer import StreamResponse
from executor.streaming.nodes import gathered, of_elements
from executor.streaming.pieces import AsyncPieces, Pieces, together
from pipeline_dsl.plan import DeviceOverride, Hardware, InputPlan, OutputPlan, Plan
from pipeline_dsl.spell import did_you_mean
from pipeline_dsl.types import TensorType

from .hardware import probe

if TYPE_CHECKING:
    from executor.tap import Tap
    from executor.trace import Recorder
    from pipeline_dsl.builder import Module

DRAIN_SECONDS = 30.0
"""How long leaving an `App` waits for what is under way."""
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A port of a pipeline. `str(spec.type)` is the language's spelling: `f32[*, 384]`."""

    name: str
    type: TensorType
    required: bool = True
    default: Any = None
    doc: str = ""

    def __str__(self) -> str:
        default = "" if self.required or self.default is None else f" = {self.default!r}"
        return f"{self.name}: {self.type}{default}"

    def __repr__(self) -> str:
        return f"TensorSpec({self})"


def compile(  # noqa: A001 - pipectl.compile is the public name
    source: str | os.PathLike[str] | Module,
    *,
    profile: str | None = None,
    params: Mapping[str, Any] | None = None,
    hardware: Hardware | None = None,
    device: DeviceOverride = "",
    serial: bool = False,
) -> Plan:
    """The plan of a `.pipe` file or a built module on this machine, or on `hardware`. Opens no models.

    `device` ("cpu", "cuda", "sim") is where stages run, whatever the profile says. `serial`: one stream on each device,
    waited for after each stage. CompileError with all mistakes if there are any."""
    from pipeline_dsl.compile import compile_module, compile_path

    from .compiling import options as options_of

    machine = hardware if hardware is not None else probe()
    given = {name: _spelt(value) for name, value in (params or {}).items()}
    options = options_of(profile, given, device=device, serial=serial)
    if isinstance(source, str | os.PathLike):
        return compile_path(Path(source), options, machine)
    return compile_module(source.syntax, options, machine)


def load(
    source: str | os.PathLike[str] | Module | Plan,
    *,
    profile: str | None = None,
    params: Mapping[str, Any] | None = None,
    hardware: Hardware | None = None,
    device: DeviceOverride = "",
    serial: bool = False,
    recorder: Recorder | None = None,
    tap: Tap | None = None,
) -> App:
    """A running app: every stage is loaded and warmed up when this returns. `tap` keeps what goes through each call.

    CompileError if the program is wrong, LoadError with the stage's name if a stage does not load; nothing is
    left running then."""
    if isinstance(source, Plan):
        return App(source, recorder, tap)
    plan = compile(source, profile=profile, params=params, hardware=hardware, device=device, serial=serial)
    return App(plan, recorder, tap)


class App:
    """A running plan. `app["embed"]` is one of its pipelines."""

    def __init__(self, plan: Plan, recorder: Recorder | None = None, tap: Tap | None = None) -> None:
        self.plan = plan
        self._engine = Engine(plan, recorder=recorder, tap=tap)
        self._handles = {name: PipelineHandle(self._engine, plan, name) for name in plan.pipelines}
        try:
            self._engine.start()
        except BaseException:
            self._engine.stop(0)
            raise

    @property
    def pipelines(self) -> tuple[str, ...]:
        """Names of the public pipelines, in the order of the file."""
        return tuple(self._handles)

    def __getitem__(self, name: str) -> PipelineHandle:
        """KeyError that suggests the nearest name if there is none."""
        if name not in self._handles:
            guess = did_you_mean(name, self._handles) or f"pipelines: {', '.join(self._handles)}"
            raise KeyError(f"no pipeline `{name}`; {guess}")
        return self._handles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def metrics(self) -> str:
        """All counters as Prometheus text."""
        return render(replace(self._engine.stats(), gpus=GPUS.read()))

    def drain(self, timeout: float | None = None) -> bool:
        """Take no new requests and wait for what is under way; False if that took longer than `timeout` s."""
        return self._engine.drain(timeout)

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """Fail what is still under way and release everything; waits `timeout` seconds for stages that run.

        May be called again."""
        self._engine.stop(timeout)

    def __enter__(self) -> App:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.stop(0)  # Ctrl-C and the like: now
            return
        try:
            self.drain(DRAIN_SECONDS)
        finally:
            self.stop()

    def __repr__(self) -> str:
        return f"App({self.plan.path or 'built'}: {', '.join(self._handles)})"


class PipelineHandle:
    """One pipeline of an app.

    Inputs are given by port name: `embed(text=["a"])`, or as one mapping, `embed({"timeout": 3},
    timeout=0.5)`, where a port is called like an option. Options: `timeout` in seconds for the whole
    request, `priority` (1 is served first), `outputs` to compute only those, `id` for logs and traces, `headers`
    for `header("x")`, `sequence` for a pipeline of sequences: `SequenceInfo(7, start=True)`. The answer of a pipeline
    with stream outputs is there as soon as its streams exist: they are readers, and other outputs may come later.
    `stream` gives them piece by piece."""

    def __init__(self, engine: Engine, plan: Plan, name: str) -> None:
        self.name = name
        self._engine = engine
        pipeline = plan.pipelines[name]
        self.doc = pipeline.doc
        self.inputs = {port.name: input_spec(port) for port in pipeline.inputs}
        self.outputs = {port.name: _output_spec(port) for port in pipeline.outputs}
        self.streams = together(pipeline)
        """Its stream outputs, and which of them come together: those with equal numbers."""

    def __call__(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,
        priority: int | None = None,
        outputs: Sequence[str] | None = None,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sequence: SequenceInfo | None = None,
        **ports: Any,
    ) -> Response:
        """The answer; waits for it. RequestError if there is none."""
        job = self.submit(
            inputs,
            timeout=timeout,
            priority=priority,
            outputs=outputs,
            id=id,
            headers=headers,
            sequence=sequence,
            **ports,
        )
        try:
            return job.result()
        except BaseException:
            job.cancel()  # an interrupted caller wants no answer any more; no effect on a job that ended
            raise

    def submit(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,
        priority: int | None = None,
        outputs: Sequence[str] | None = None,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sequence: SequenceInfo | None = None,
        **ports: Any,
    ) -> Job:
        """A future of the answer; returns at once."""
        given = {**(inputs or {}), **ports}
        return self._engine.submit(
            self.name,
            given,
            outputs=outputs,
            timeout=timeout,
            priority=priority,
            id=id,
            headers=headers,
            sequence=sequence,
        )

    async def asubmit(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the deadline of the request, not of the wait
        priority: int | None = None,
        outputs: Sequence[str] | None = None,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sequence: SequenceInfo | None = None,
        **ports: Any,
    ) -> Response:
        """The answer, inside async code. Cancelling the task cancels the request."""
        given = {**(inputs or {}), **ports}
        return await self._engine.asubmit(
            self.name,
            given,
            outputs=outputs,
            timeout=timeout,
            priority=priority,
            id=id,
            headers=headers,
            sequence=sequence,
        )

    def stream(self, inputs: Mapping[str, Any] | None = None, /, **options: Any) -> Pieces:
        """The answer of a pipeline with stream outputs, piece by piece: each is a dict of what is new.

        First the outputs that are no streams and are there at once, if there are any, then one piece for each
        element, at last what came with the end. Arguments are those of `submit`; `.response` has it all.
        Leaving the loop, or closing the iterator, cancels the request. TypeError for a pipeline without streams."""
        groups = self._groups()
        job = self.submit(inputs, **options)
        try:
            return Pieces(cast(StreamResponse, job.result()), groups)
        except BaseException:
            job.cancel()
            raise

    def astream(self, inputs: Mapping[str, Any] | None = None, /, **options: Any) -> AsyncPieces:
        """The same for async code: `async for piece in chat.astream(..)`."""
        return AsyncPieces(partial(self.asubmit, inputs, **options), self._groups())

    def whole(self, inputs: Mapping[str, Any] | None = None, /, **options: Any) -> dict[str, Any]:
        """All outputs at the end; of a stream its elements as one value, as `collect` gives them."""
        response = self(inputs, **options)
        if not isinstance(response, StreamResponse):
            return dict(response)
        kinds = {name: self.outputs[name].type for name in self.streams if name in response}
        elements: dict[str, list[Any]] = {name: [] for name in kinds}
        found: dict[str, Any] = {}
        for piece in Pieces(response, self.streams):
            for name, value in piece.items():
                elements[name].append(value) if name in elements else found.update({name: value})
        found.update((name, gathered(elements[name], of_elements(kind))) for name, kind in kinds.items())
        return {name: found[name] for name in self.outputs if name in found}

    def _groups(self) -> dict[str, int]:
        if not self.streams:
            raise TypeError(f"pipeline `{self.name}` has no stream output: call it, or `submit`")
        return self.streams

    def map(self, requests: Iterable[Mapping[str, Any]], *, in_flight: int = 64, **options: Any) -> Iterator[Response]:
        """Answers in the order of the requests, with at most `in_flight` under way; requests are read as
        needed.

        The first failure is raised in its place; that, or closing the iterator, cancels what is under
        way."""
        if in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {in_flight}")
        return self._map(iter(requests), in_flight, options)

    def _map(
        self, requests: Iterator[Mapping[str, Any]], in_flight: int, options: dict[str, Any]
    ) -> Iterator[Response]:
        jobs: deque[Job] = deque()
        try:
            for request in requests:
                jobs.append(self.submit(request, **options))
                if len(jobs) == in_flight:
                    yield jobs.popleft().result()
            while jobs:
                yield jobs.popleft().result()
        finally:
            for job in jobs:
                job.cancel()

    def __repr__(self) -> str:
        ins, outs = (", ".join(map(str, specs.values())) for specs in (self.inputs, self.outputs))
        return f"{self.name}({ins}) -> ({outs})"


def _spelt(value: Any) -> str:
    """A param's value as it is written after `--set`."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def input_spec(port: InputPlan) -> TensorSpec:
    """An input as callers see it."""
    required = not port.has_default and not port.type.optional
    return TensorSpec(port.name, port.type, required, port.default, port.doc)


def _output_spec(port: OutputPlan) -> TensorSpec:
    return TensorSpec(port.name, port.type, doc=port.doc)
