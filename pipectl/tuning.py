"""How this process is set while stages run: for threads that take turns on few cores.

Takes the plans of loaded stages and sets three things that hold for the whole process, until they are set back:
how long a thread may keep the interpreter, how many threads one matrix product of numpy may use, and which
objects the garbage collector looks at.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_dsl.plan import Plan

SWITCH_SECONDS = 1e-4
"""How long one thread may hold the interpreter. Python's 5 ms would stall a branch beside a busy one."""


@contextmanager
def tuned(*plans: Plan) -> Iterator[None]:
    """Enter it when all stages are loaded and warm: what exists then is never collected inside."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    try:
        with _limited_blas(blas_threads(*plans)):
            yield
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def blas_threads(*plans: Plan) -> int | None:
    """Threads for a matrix product in a python stage of this process; None if there is no such stage.

    BLAS has one number for all stages, so it is the smallest share: more would take cores from another stage."""
    stages = (s for plan in plans for s in plan.stages)
    here = (s for s in stages if s.backend == "python" and not s.isolate)
    return min((stage.threads or 1 for stage in here), default=None)


@contextmanager
def _limited_blas(threads: int | None) -> Iterator[None]:
    """Lower the limit of every BLAS library that is loaded; one that is lower already stays."""
    if threads is None:
        yield
        return
    from threadpoolctl import ThreadpoolController

    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    before = [(library, library.num_threads) for library in libraries if library.num_threads > threads]
    try:
        for library, _ in before:
            library.set_num_threads(threads)
        yield
    finally:
        for library, number in before:
            library.set_num_threads(number)
