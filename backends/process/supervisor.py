"""Keeps one child process running: a thread that starts it, watches it, and starts it again when it dies.

    STARTING -> READY -> WAITING (back-off) -> STARTING ...        any -> CLOSED
                      -> OPEN (breaker)     -> STARTING

The thread lives as long as the instance. It is also the one that creates the process: Linux ties the signal that a
child gets on its parent's death to the thread that created it, not to the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import Enum

from backends.base import BackendError, StageDied
from backends.ipc.restarts import RestartPolicy

from .faults import to_exception
from .messages import Raised, Ready, Stop
from .worker import Launch, Worker

EXIT_S = 1.0
"""How long a process that has closed its socket may take to exit."""

KILL_S = 10.0
"""How long the system may take to end a process that was killed."""


class State(Enum):
    """Where the process stands."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    OPEN = "open"
    CLOSED = "closed"


class Supervisor:
    """Owns the worker of one instance."""

    def __init__(self, launch: Launch, policy: RestartPolicy, on_copy: Callable[[int, str], None] | None) -> None:
        self.state = State.STARTING
        self.restarts = 0
        self.warm = False
        """Warm up a new process before it is ready."""
        self.policy = policy
        self._launch = launch
        self._on_copy = on_copy
        self._worker: Worker | None = None
        self._loaded_once = False
        self._failure: BackendError | None = None
        self._last = ""
        self._next_start = 0.0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"supervise {launch.name}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the running process; None between two."""
        worker = self._worker
        return worker.pid if worker and not worker.ended else None

    # ---- for the instance

    def wait_loaded(self) -> None:
        """Return when the first process is ready. BackendError if it can not load its stage."""
        with self._changed:
            self._changed.wait_for(lambda: self._loaded_once or self.state is State.CLOSED)
            if not self._loaded_once:
                raise self._failure or BackendError(f"stage `{self._launch.name}` was closed while it loaded")

    def ready_worker(self, until_ns: int | None) -> Worker:
        """A running worker; waits for one that is being started. StageDied while the breaker is open, after `until_ns`,
        or when closed."""
        while True:
            worker = self._wait_ready(until_ns)
            if not worker.is_gone():
                return worker
            self.wait_ended(worker)

    def _wait_ready(self, until_ns: int | None) -> Worker:
        with self._changed:
            patience = None if until_ns is None else max(0.0, (until_ns - time.monotonic_ns()) / 1e9)
            self._changed.wait_for(lambda: self.state not in (State.STARTING, State.WAITING), patience)
            if self.state is State.READY and self._worker is not None:
                return self._worker
            raise StageDied(self._why_not())

    def _why_not(self) -> str:
        name = self._launch.name
        if self.state is State.CLOSED:
            return f"stage `{name}` is closed"
        if self.state is State.OPEN:
            left = max(0.0, self._next_start - time.monotonic())
            return (
                f"stage `{name}` keeps dying: {self.policy.deaths} of its processes ended without answering a batch, "
                f"the last {self._last}; the next one starts in {left:.1f} s"
            )
        return f"stage `{name}`: its process {self._last} and is being started again"

    def wait_ended(self, worker: Worker) -> str:
        """How the worker ended; one that still runs after `EXIT_S` is killed."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._worker is not worker, EXIT_S):
                worker.kill()
                self._changed.wait_for(lambda: self._worker is not worker, KILL_S)
            return worker.ended or "can not be ended"

    def close(self, seconds: float) -> None:
        """End the process, politely for so long, and the thread. Idempotent."""
        with self._changed:
            ready = self.state is State.READY
            self.state = State.CLOSED
            worker = self._worker
            self._changed.notify_all()
        if worker is not None and ready:
            worker.stop(seconds, Stop())
        elif worker is not None:
            worker.kill()
        self._thread.join(KILL_S)

    # ---- the thread

    def _run(self) -> None:
        try:
            self._live()
        finally:  # whatever happens to this thread, nobody waits for it
            with self._changed:
                self.state = State.CLOSED
                self._worker = None
                self._changed.notify_all()

    def _live(self) -> None:
        while (pause := self._one_life()) is not None:
            with self._changed:
                if self._changed.wait_for(lambda: self.state is State.CLOSED, pause):
                    return
                self.state = State.STARTING if self.state is State.WAITING else self.state
                self.restarts += 1

    def _one_life(self) -> float | None:
        """Start a worker and watch it to its end. The seconds to wait before the next; None if there shall be none."""
        try:
            worker = Worker(self._launch, self.warm)
        except OSError as error:
            return self._not_started(f"could not be started: {error}")
        with self._changed:
            self._worker = worker
            if self.state is State.CLOSED:
                worker.kill()
        loaded = self._load(worker)
        worker.watch()
        pause = self._bury(worker, loaded)
        worker.dispose()
        return pause

    def _load(self, worker: Worker) -> bool:
        answer = worker.first_answer()
        if isinstance(answer, Ready):
            self._count(answer.copies)
            with self._changed:
                self._loaded_once = True
                if self.state is not State.CLOSED:
                    self.state = State.READY
                self._changed.notify_all()
            return True
        if isinstance(answer, Raised):
            self._failure = _load_error(self._launch.name, answer, worker)
            worker.kill()  # it has nothing more to say
        else:
            worker.end_within(EXIT_S)
        return False

    def _bury(self, worker: Worker, loaded: bool) -> float | None:
        """Forget a worker that has ended; the seconds to wait, as `_one_life`."""
        with self._changed:
            self._worker = None
            if not loaded and self._failure is None:
                self._failure = BackendError(
                    f"stage `{self._launch.name}`: its process {worker.ended} while it loaded the stage",
                    f"It wrote last:\n{worker.output.last_words() or '  nothing'}",
                )
            self._last = worker.ended if loaded else f"did not load: {self._failure}"
            return self._note_death()

    def _not_started(self, why: str) -> float | None:
        with self._changed:
            self._last = why
            self._failure = BackendError(
                f"stage `{self._launch.name}`: its process {why}",
                "Check the limits on processes, open files and memory.",
            )
            return self._note_death()

    def _note_death(self) -> float | None:
        """Record the death. A stage that never loaded is not tried again, its failure is raised."""
        pause = None
        if not self._loaded_once:
            self.state = State.CLOSED
        elif self.state is not State.CLOSED:
            self._failure = None
            now = time.monotonic()
            pause = self.policy.died(now)
            self._next_start = now + pause
            self.state = State.OPEN if self.policy.is_open else State.WAITING
        self._changed.notify_all()
        return pause

    def _count(self, copies: list[tuple[int, str]]) -> None:
        if self._on_copy is not None:
            for size, reason in copies:
                self._on_copy(size, reason)


def _load_error(name: str, answer: Raised, worker: Worker) -> BackendError:
    """What the child raised while it loaded; as it is if it was a BackendError."""
    error = to_exception(answer.fault, f"the process of stage `{name}` ({worker.pid})")
    if isinstance(error, BackendError):
        return error
    wrapped = BackendError(f"stage `{name}` can not be loaded: {answer.fault.name}: {answer.fault.message}")
    wrapped.__cause__ = error
    return wrapped
