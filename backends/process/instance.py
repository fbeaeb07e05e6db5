"""A stage in a process of its own, behind the same `Instance` interface as every other.

    Batch -> shared memory -> child: Instance.execute -> shared memory -> BatchResult

Promises: inputs are copied once (counted, reason `process`), outputs once in the child and not at all here; arrays that
were handed out stay valid and unchanged whatever becomes of the process; a death is a `StageDied` that names stage,
process and cause, and the process is started again; after `close` nothing is left.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from backends.base import BackendError, Batch, BatchResult, InstanceConfig, StageDied, StageHung
from backends.ipc.plan_codec import encode_plan
from backends.ipc.restarts import RestartPolicy
from backends.ipc.segments import SegmentError
from backends.ipc.transfer import ValueReader, ValueWriter
from pipeline_dsl.plan import StagePlan

from .faults import to_exception
from .messages import Done, Raised, Reply, Run, Warmup
from .supervisor import State, Supervisor
from .worker import Gone, Late, Launch, NeverBegan, Worker

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take."""

    timeout_ns: int = 0
    """Of one batch; 0: none."""
    grace_ns: int = 1_000_000_000
    """A process that has not answered so long after its batch's deadline is hung, unless slower batches were answered
    before: it always has twice the time of the slowest."""
    stop_s: float = 5.0
    """For a process to end when asked to."""

    def until(self, started_ns: int, deadline_ns: int | None, slowest_ns: int) -> int | None:
        """When to give up a batch; None: never."""
        ends = []
        if self.timeout_ns:
            ends.append(started_ns + self.timeout_ns)
        if deadline_ns is not None:
            ends.append(max(deadline_ns + self.grace_ns, started_ns + 2 * slowest_ns))
        return min(ends, default=None)


def to_stderr(line: str) -> None:
    """Pass a line of a child's output on. A parent without stderr goes on without it."""
    try:
        sys.stderr.write(line + "\n")
    except (OSError, ValueError, AttributeError):
        pass  # closed, or never there


def load_isolated(
    stage: StagePlan,
    config: InstanceConfig,
    *,
    limits: Limits | None = None,
    policy: RestartPolicy | None = None,
    loader: str = "backends:load",
    output: Callable[[str], None] = to_stderr,
) -> ProcessInstance:
    """The stage, loaded and ready in a process of its own.

    `loader` names the function, `module:function`, that gives the child a backend by name. `output` receives the lines
    the child writes, with the stage's name before them. Backends that were only registered in this process are not
    known there: their loader must be. BackendError if the stage can not be loaded there."""
    if not sys.platform.startswith("linux"):
        raise BackendError(f"stage `{stage.name}`: isolate = process needs Linux", "Leave isolate away on this system.")
    port = next((p for p in (*stage.inputs, *stage.outputs) if p.type.stream), None)
    if port is not None:
        message = f"stage `{stage.name}`: isolate = process does not work with streams, and `{port.name}` is one"
        raise BackendError(message, "Leave isolate away, or give the whole value as one output.")
    launch = Launch(stage.name, encode_plan(stage), loader, config, output)
    instance = ProcessInstance(launch, limits or Limits(), policy or RestartPolicy())
    try:
        instance.wait_loaded()
    except BaseException:
        instance.close()
        raise
    return instance


class ProcessInstance:
    """An `Instance` whose stage runs in a child process. Made by `load_isolated`."""

    thread_affine = False

    def __init__(self, launch: Launch, limits: Limits, policy: RestartPolicy) -> None:
        self._name = launch.name
        self._limits = limits
        self._on_copy = launch.config.on_copy
        self._lock = threading.Lock()
        self._slowest_ns = 0
        self._supervisor = Supervisor(launch, policy, launch.config.on_copy)

    @property
    def pid(self) -> int | None:
        """Of the child; None while there is none."""
        return self._supervisor.pid

    @property
    def alive(self) -> bool:
        """Whether a loaded child waits for batches or runs one."""
        return self._supervisor.state is State.READY

    @property
    def restarts(self) -> int:
        """How often a child was started in place of one that died."""
        return self._supervisor.restarts

    def wait_loaded(self) -> None:
        """Wait for the first child. BackendError if it can not load the stage."""
        self._supervisor.wait_loaded()

    def execute(self, batch: Batch) -> BatchResult:
        """Run one batch in the child; waits for a child that is being started, at most to the batch's deadline.

        Raises what the stage raised; StageDied if the child ended before it answered or may not be started yet;
        StageHung if it was killed because it did not answer in time."""
        with self._lock:
            return self._use(batch.deadline_ns, lambda worker: self._execute(worker, batch))

    def warmup(self) -> None:
        """Warm the stage up in the child. A child that replaces this one is warmed up before it takes batches."""

        def warm_up(worker: Worker) -> None:
            reply, _ = worker.ask(Warmup(), [], None, lambda: None)
            self._note(reply, worker.pid)

        with self._lock:
            self._use(None, warm_up)
            self._supervisor.warm = True

    def close(self, seconds: float | None = None) -> None:
        """End the child and release everything but arrays that are still held. Idempotent. A batch that still runs
        after so long (`Limits.stop_s` if None) ends with its child."""
        patience = self._limits.stop_s if seconds is None else seconds
        held = self._lock.acquire(timeout=patience)
        try:
            self._supervisor.close(patience if held else 0.0)
        finally:
            if held:
                self._lock.release()

    def _use(self, until_ns: int | None, act: Callable[[Worker], T]) -> T:
        """Do something with a ready child; again with the next one if a child ended before it began."""
        while True:
            worker = self._supervisor.ready_worker(until_ns)
            started = time.monotonic()
            try:
                with worker.in_use:
                    return act(worker)
            except NeverBegan:
                self._supervisor.wait_ended(worker)
            except Late:
                self._supervisor.wait_ended(worker)
                seconds = time.monotonic() - started
                raise StageHung(self._death(worker, f"was killed, it had not answered for {seconds:.1f} s")) from None
            except Gone:
                how = self._supervisor.wait_ended(worker)
                raise self._with_last_words(worker, StageDied(self._death(worker, how))) from None

    # ---- one batch

    def _execute(self, worker: Worker, batch: Batch) -> BatchResult:
        writer = ValueWriter(worker.inputs)
        try:
            run, fds = self._request(worker, writer, batch)
            try:
                reply, new = self._ask(worker, run, fds, batch)
            finally:
                for fd in fds:
                    os.close(fd)
            return self._result(worker, reply, new, batch)
        finally:
            writer.release()

    def _request(self, worker: Worker, writer: ValueWriter, batch: Batch) -> tuple[Run, list[int]]:
        inputs = [writer.write(value) for value in batch.inputs]
        if writer.written and self._on_copy is not None:
            self._on_copy(writer.written, "process")
        opened, dropped, fds = worker.inputs.news()
        run = Run(
            inputs,
            batch.rows,
            batch.sizes,
            batch.request_ids,
            batch.deadline_ns,
            batch.node,
            opened,
            dropped,
            worker.outputs.take_freed(),
        )
        return run, fds

    def _ask(self, worker: Worker, run: Run, fds: list[int], batch: Batch) -> tuple[Reply, list[int]]:
        def pass_cancellation_on() -> None:
            if batch.cancelled():
                worker.control[0] = 1

        worker.control[0] = 0
        started = time.monotonic_ns()
        until = self._limits.until(started, batch.deadline_ns, self._slowest_ns)
        answer = worker.ask(run, fds, until, pass_cancellation_on)
        self._slowest_ns = max(self._slowest_ns, time.monotonic_ns() - started)
        self._supervisor.policy.answered()
        return answer

    def _result(self, worker: Worker, reply: Reply, fds: list[int], batch: Batch) -> BatchResult:
        self._note(reply, worker.pid)
        try:
            if not isinstance(reply, Done):
                raise TypeError(f"{type(reply).__name__} answers no batch")
            worker.outputs.attach(reply.opened, fds)
            worker.outputs.detach(reply.dropped)
            reader = ValueReader(worker.outputs, batch.inputs)
            outputs = tuple(reader.read(value) for value in reply.outputs)
        except (SegmentError, msgspec.MsgspecError, ValueError, TypeError, IndexError) as error:
            worker.kill()  # its memory is damaged; nothing it says can be trusted
            raise Gone(f"its answer makes no sense: {error}") from None
        failed = None
        if reply.failed:
            place = self._place(worker.pid)
            failed = {row: to_exception(fault, place) for row, fault in reply.failed.items()}
        return BatchResult(outputs, failed)

    def _note(self, reply: Reply, pid: int) -> None:
        """Count the child's copies; raise what it raised."""
        if self._on_copy is not None:
            for size, reason in reply.copies:
                self._on_copy(size, reason)
        if isinstance(reply, Raised):
            raise to_exception(reply.fault, self._place(pid))

    # ---- words

    def _place(self, pid: int) -> str:
        return f"the process of stage `{self._name}` ({pid})"

    def _death(self, worker: Worker, how: str) -> str:
        return f"stage `{self._name}`: its process {worker.pid} {how} while it worked on a batch"

    def _with_last_words(self, worker: Worker, died: StageDied) -> StageDied:
        """What the child wrote last goes into a note: it is for the operator, never for a client."""
        words = worker.output.last_words()
        if words:
            died.add_note(f"it wrote last:\n{words}")
        return died
