"""The TensorRT library: found by name, checked for its version, with one logger for the process.

`tensorrt` (10.0 or newer) and `tensorrt_rtx` have one API. The library says why a call failed in its log only, while
the call answers False or None: `Log.reasons` gives what the calling thread was told since it last asked."""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from functools import cache
from importlib import import_module
from typing import Any

from backends.artifact import missing_library
from backends.base import BackendError
from pipeline_dsl.plan import StagePlan

PLAIN, RTX = "tensorrt", "tensorrt_rtx"
OLDEST = (10, 0)
"""Of `tensorrt`; older ones lack what is called here."""

DTYPES = {
    "FLOAT": "f32",
    "HALF": "f16",
    "BF16": "bf16",
    "INT8": "i8",
    "INT32": "i32",
    "INT64": "i64",
    "UINT8": "u8",
    "BOOL": "bool",
}
"""Name of a `DataType` -> dtype of the language. Others (FP8, INT4, FP4) have none."""

_ERROR, _WARNING = 1, 2
_KEPT = 8


class Log:
    """What the library says: errors are kept for the thread that caused them, warnings go to the log of Python."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._python = logging.getLogger("pipectl.tensorrt")

    def add(self, severity: int, text: str) -> None:
        """Called by the library, from any thread."""
        if severity <= _ERROR:
            self._errors().append(text)
        elif severity == _WARNING:
            self._python.warning("%s", text)

    def forget(self) -> None:
        """Nothing said so far is a reason for what comes."""
        self._errors().clear()

    def reasons(self) -> str:
        """What was said to this thread, in one line; "" for nothing. Asking again gives only what is new."""
        found = list(dict.fromkeys(_short(text) for text in self._errors()))
        self._errors().clear()
        return "; ".join(found)

    def _errors(self) -> deque[str]:
        kept: deque[str] | None = getattr(self._local, "errors", None)
        if kept is None:
            kept = self._local.errors = deque(maxlen=_KEPT)
        return kept


class Library:
    """An imported module and its logger, which must outlive everything made with it."""

    def __init__(self, trt: Any) -> None:
        self.trt = trt
        self.name = str(trt.__name__).rpartition(".")[2]
        self.version = str(trt.__version__)
        self.log = Log()
        self.logger = _logger(trt, self.log)


def library(name: str, stage: StagePlan) -> Library:
    """The library of that module name, one object per process. BackendError if it is missing or too old."""
    try:
        found = _imported(name)
    except ImportError as error:
        raise _missing(stage, name, error) from error
    numbers = tuple(int(n) for n in re.findall(r"\d+", found.version)[:2])
    if found.name == PLAIN and numbers < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        message = f"stage `{stage.name}`: tensorrt {found.version} is too old, {wanted} or newer is needed"
        raise BackendError(message, "pip install --upgrade tensorrt")
    return found


@cache
def _imported(name: str) -> Library:
    return Library(import_module(name))


def _missing(stage: StagePlan, name: str, error: ImportError) -> BackendError:
    found = missing_library(stage, name, "tensorrt", error)
    return BackendError(str(found), "pip install tensorrt-rtx") if name == RTX else found


def _logger(trt: Any, log: Log) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # the base class is a value here
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            log.add(int(severity), msg)

    return Logger()


def _short(text: str) -> str:
    """A message without the place in the library's own source."""
    text = re.sub(r"\s*\bIn \w+ at \S+?:\d+", "", " ".join(text.split()))
    return re.sub(r"^\[\S+::\S+::\d+\] ", "", text)[:300]
