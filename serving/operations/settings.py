"""Settings that a running server takes: what it traces, and what it logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from executor.errors import InvalidArgument
from executor.request import Response
from serving.access import Caller
from serving.deployment import Served
from serving.errors import Unsupported
from serving.options import ServerOptions
from serving.repository import Repository
from serving.tracing import Tracer, TraceSettings, contained

from .guard import guarded

LogValue = bool | int | str
_log = logging.getLogger("pipectl")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What goes to the log."""

    log_file: str = ""
    log_info: bool = True
    log_warning: bool = True
    log_error: bool = True
    log_verbose_level: int = 0
    log_format: str = "default"

    def listed(self) -> dict[str, LogValue]:
        """As clients read them."""
        return {name: getattr(self, name) for name in self.__slots__}

    def passes(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        if record.levelno >= logging.ERROR:
            return self.log_error
        if record.levelno >= logging.WARNING:
            return self.log_warning
        return self.log_info if record.levelno >= logging.INFO else self.log_verbose_level > 0


class Settings:
    """Trace settings of the server and of single pipelines; log settings of the process."""

    def __init__(self, repository: Repository, options: ServerOptions) -> None:
        self._repository = repository
        self._folder = options.trace_folder
        self._base = TraceSettings()
        self._tracers: dict[str, Tracer] = {"": Tracer(self._folder, self._base)}
        self.tracing = False
        """Some request may have to be traced."""
        self._logs = LogSettings()
        _log.addFilter(self._passes)

    def close(self) -> None:
        """Take the filter off the log again."""
        _log.removeFilter(self._passes)

    # ---- traces

    @guarded("trace")
    def trace_settings(self, caller: Caller, model: str = "") -> dict[str, list[str]]:
        """Of the server, or of one pipeline, which are the server's until they are changed."""
        if model:
            self._repository.catalog.pipeline(model)
        return self._tracer(model).settings.listed()

    @guarded("trace")
    def update_trace(self, caller: Caller, given: Mapping[str, Sequence[str]], model: str = "") -> dict[str, list[str]]:
        """Change some settings; what they are then. InvalidArgument for one that is unknown or wrong."""
        if not given:
            return self.trace_settings(caller, model)
        if model:
            self._repository.catalog.pipeline(model)
        base = self._tracers[""].settings if model else self._base
        settings = self._tracer(model).settings.updated(given, base)
        if settings.level != "OFF" or settings.file:
            contained(self._folder, settings.file)
        self._tracers[model] = Tracer(self._folder, settings, left=settings.count)
        self.tracing = any(t.settings.level != "OFF" for t in self._tracers.values())
        return settings.listed()

    def trace(self, served: Served, response: Response) -> None:
        """An answered request, for the traces."""
        try:
            self._tracer(served.name).record(served.name, served.version, response)
        except OSError as error:  # a full disk must not cost answers
            self.tracing = False
            _log.error("tracing ends: %s", error)

    def _tracer(self, model: str) -> Tracer:
        return self._tracers.get(model) or self._tracers[""]

    # ---- logs

    @guarded("logging")
    def log_settings(self, caller: Caller) -> dict[str, LogValue]:
        return self._logs.listed()

    @guarded("logging")
    def update_log(self, caller: Caller, given: Mapping[str, LogValue]) -> dict[str, LogValue]:
        """Change some settings; what they are then. InvalidArgument for one that is unknown or wrong."""
        changed = self._logs
        for name, value in given.items():
            changed = _with(changed, name, value)
        self._logs = changed
        _log.setLevel(logging.DEBUG if changed.log_verbose_level else logging.INFO)
        return changed.listed()

    def _passes(self, record: logging.LogRecord) -> bool:
        return self._logs.passes(record)


def _with(settings: LogSettings, name: str, value: LogValue) -> LogSettings:
    kinds = {"log_verbose_level": int, "log_format": str, "log_file": str}
    if name not in settings.__slots__:
        raise InvalidArgument(f"there is no log setting `{name[:80]}`; settings: {', '.join(settings.__slots__)}")
    kind = kinds.get(name, bool)
    if type(value) is not kind:
        raise InvalidArgument(f"log setting `{name}` takes {kind.__name__}, found {value!r:.80}")
    if name == "log_file" and value != settings.log_file:
        raise Unsupported("log setting `log_file`: where the log goes is not changed by clients")
    if name == "log_format" and value not in ("default", "ISO8601"):
        raise InvalidArgument(f"log setting `log_format`: {value!r:.80} is none of default, ISO8601")
    change: dict[str, Any] = {name: value}
    return replace(settings, **change)
