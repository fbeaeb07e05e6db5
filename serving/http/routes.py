"""Everything but calls of pipelines: health, metadata, configuration, statistics, repository, shared memory, settings.

One table of routes; each has a function from a caller and an `Asking` to JSON data, a `Reply`, or nothing.
"""

from __future__ import annotations

import base64
import binascii
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from serving.access import Caller
from serving.errors import InvalidArgument
from serving.front import Front
from serving.operations import Operations
from serving.operations.statistics import Duration, ModelStatistics

from .config_json import message_json
from .encoding import accepted, compressed
from .replies import Receive, Reply, Scope, Send, error_reply, json_reply
from .request import body_of, caller_of, head_of

METRICS = b"text/plain; version=0.0.4; charset=utf-8"
COMPRESS_FROM = 16 * 1024


@dataclass(frozen=True, slots=True)
class Asking:
    """A request: what its path names, its query, and its body as a JSON object ({} without one)."""

    path: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def model(self) -> str:
        return self.path.get("model", "")

    @property
    def version(self) -> str:
        return self.path.get("version", "")


Answer = Callable[[Operations, Caller, Asking], Any]


# ---- health and metadata


def _live(of: Operations, caller: Caller, asking: Asking) -> Reply:
    return _health(of.health.live(caller))


def _ready(of: Operations, caller: Caller, asking: Asking) -> Reply:
    return _health(of.health.ready(caller))


def _model_ready(of: Operations, caller: Caller, asking: Asking) -> Reply:
    return _health(of.health.model_ready(caller, asking.model, asking.version))


def _health(good: bool) -> Reply:
    """No body: probes read the status alone."""
    return Reply(200 if good else 400, ())


def _server(of: Operations, caller: Caller, asking: Asking) -> Any:
    return asdict(of.models.server(caller))


def _metadata(of: Operations, caller: Caller, asking: Asking) -> Any:
    return asdict(of.models.metadata(caller, asking.model, asking.version))


def _config(of: Operations, caller: Caller, asking: Asking) -> Any:
    return message_json(of.models.config(caller, asking.model, asking.version))


def _stats(of: Operations, caller: Caller, asking: Asking) -> Any:
    found = of.statistics.statistics(caller, asking.model, asking.version)
    return {"model_stats": [_statistics(s) for s in found]}


def _statistics(s: ModelStatistics) -> dict[str, Any]:
    nothing = Duration(s.success.count)
    durations = {
        "success": s.success,
        "fail": s.fail,
        "queue": s.queue,
        "compute_input": nothing,
        "compute_infer": s.compute,
        "compute_output": nothing,
    }
    return {
        "name": s.name,
        "version": s.version,
        "last_inference": s.last_ms,
        "inference_count": s.inferences,
        "execution_count": s.executions,
        "inference_stats": {name: asdict(d) for name, d in durations.items()},
        "batch_stats": [],
    }


# ---- repository


def _index(of: Operations, caller: Caller, asking: Asking) -> Any:
    caller.require("model-repository")
    ready = asking.body.get("ready", False)
    if type(ready) is not bool:
        raise InvalidArgument(f"`ready` takes true or false, found {ready!r}")
    return [asdict(entry) for entry in of.control.index(caller, asking.path.get("repository", ""), ready)]


def _load(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.control.load(caller, asking.model, _parameters(caller, asking), asking.path.get("repository", ""))


def _unload(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.control.unload(caller, asking.model, _parameters(caller, asking), asking.path.get("repository", ""))


def _parameters(caller: Caller, asking: Asking) -> Mapping[str, Any]:
    caller.require("model-repository")
    given = asking.body.get("parameters", {})
    if not isinstance(given, dict):
        raise InvalidArgument("`parameters` takes an object")
    return given


# ---- shared memory


def _shm_status(of: Operations, caller: Caller, asking: Asking) -> Any:
    return [asdict(region) for region in of.memory.status(caller, asking.path.get("region", ""))]


def _shm_register(of: Operations, caller: Caller, asking: Asking) -> None:
    caller.require("shared-memory")  # before its body is looked at
    body = asking.body
    key, offset, size = body.get("key"), body.get("offset", 0), body.get("byte_size")
    if not isinstance(key, str) or type(offset) is not int or type(size) is not int:
        raise InvalidArgument("a region takes `key`, a string, and `offset` and `byte_size`, whole numbers")
    of.memory.register(caller, asking.path["region"], key, offset, size)


def _shm_unregister(of: Operations, caller: Caller, asking: Asking) -> None:
    of.memory.unregister(caller, asking.path.get("region", ""))


def _cuda_status(of: Operations, caller: Caller, asking: Asking) -> Any:
    return [asdict(region) for region in of.memory.cuda_status(caller, asking.path.get("region", ""))]


def _cuda_register(of: Operations, caller: Caller, asking: Asking) -> None:
    caller.require("shared-memory")
    handle = asking.body.get("raw_handle")
    encoded = handle.get("b64") if isinstance(handle, dict) else None
    try:
        base64.b64decode(encoded or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        encoded = None
    if not encoded:
        raise InvalidArgument('a region of CUDA memory takes `raw_handle`: {"b64": ".."}')
    of.memory.cuda_register(caller, asking.path["region"])


def _cuda_unregister(of: Operations, caller: Caller, asking: Asking) -> None:
    of.memory.cuda_unregister(caller, asking.path.get("region", ""))


# ---- settings, metrics, overview


def _trace(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.settings.trace_settings(caller, asking.model)


def _set_trace(of: Operations, caller: Caller, asking: Asking) -> Any:
    given = {name: _texts(value) for name, value in asking.body.items()}
    return of.settings.update_trace(caller, given, asking.model)


def _texts(value: Any) -> list[str]:
    """A setting's values: one, several, or null for the server's."""
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _log(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.settings.log_settings(caller)


def _set_log(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.settings.update_log(caller, asking.body)


def _metrics(of: Operations, caller: Caller, asking: Asking) -> Reply:
    return Reply(200, (of.metrics.text(caller).encode(),), METRICS)


def _pipelines(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.overview.pipelines(caller)


def _figures(of: Operations, caller: Caller, asking: Asking) -> Any:
    return of.overview.figures(caller)


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table."""

    method: str
    path: str
    answer: Answer
    summary: str


_MODEL = "/v2/models/{model}"
_AT = _MODEL + "/versions/{version}"
_SYSTEM = "/v2/systemsharedmemory"
_CUDA = "/v2/cudasharedmemory"

METRICS_ENTRY = Entry("GET", "/metrics", _metrics, "All counters as Prometheus text.")

TABLE: tuple[Entry, ...] = (
    Entry("GET", "/v2/health/live", _live, "Whether the server lives: 200, else 400."),
    Entry("GET", "/v2/health/ready", _ready, "Whether it takes requests: 200, else 400."),
    Entry("GET", "/v2", _server, "The server's name, version and extensions."),
    Entry("GET", "/v2/models/stats", _stats, "Counters of all pipelines and their steps."),
    Entry("GET", _MODEL, _metadata, "Inputs and outputs of a pipeline or a step."),
    Entry("GET", _AT, _metadata, "The same of one version."),
    Entry("GET", _MODEL + "/ready", _model_ready, "Whether a pipeline can be asked: 200, else 400."),
    Entry("GET", _AT + "/ready", _model_ready, "The same of one version."),
    Entry("GET", _MODEL + "/config", _config, "A pipeline's or step's configuration."),
    Entry("GET", _AT + "/config", _config, "The same of one version."),
    Entry("GET", _MODEL + "/stats", _stats, "Counters of a pipeline or a step."),
    Entry("GET", _AT + "/stats", _stats, "The same of one version."),
    Entry("POST", "/v2/repository/index", _index, "All pipelines, with their states."),
    Entry("POST", "/v2/repository/{repository}/index", _index, "The same of a named repository."),
    Entry("POST", "/v2/repository/models/{model}/load", _load, "Load a pipeline, again if it runs."),
    Entry("POST", "/v2/repository/models/{model}/unload", _unload, "Serve a pipeline no more."),
    Entry("POST", "/v2/repository/{repository}/models/{model}/load", _load, "The same of a named repository."),
    Entry("POST", "/v2/repository/{repository}/models/{model}/unload", _unload, "The same of a named repository."),
    Entry("GET", _SYSTEM + "/status", _shm_status, "The caller's regions of system shared memory."),
    Entry("GET", _SYSTEM + "/region/{region}/status", _shm_status, "One of them."),
    Entry("POST", _SYSTEM + "/region/{region}/register", _shm_register, "Register a region."),
    Entry("POST", _SYSTEM + "/region/{region}/unregister", _shm_unregister, "Forget a region."),
    Entry("POST", _SYSTEM + "/unregister", _shm_unregister, "Forget all regions of the caller."),
    Entry("GET", _CUDA + "/status", _cuda_status, "The caller's regions of CUDA shared memory."),
    Entry("GET", _CUDA + "/region/{region}/status", _cuda_status, "One of them."),
    Entry("POST", _CUDA + "/region/{region}/register", _cuda_register, "Register a region."),
    Entry("POST", _CUDA + "/region/{region}/unregister", _cuda_unregister, "Forget a region."),
    Entry("POST", _CUDA + "/unregister", _cuda_unregister, "Forget all regions of the caller."),
    Entry("GET", "/v2/trace/setting", _trace, "What is traced."),
    Entry("POST", "/v2/trace/setting", _set_trace, "Change what is traced."),
    Entry("GET", _MODEL + "/trace/setting", _trace, "What is traced of one pipeline."),
    Entry("POST", _MODEL + "/trace/setting", _set_trace, "Change what is traced of one pipeline."),
    Entry("GET", "/v2/logging", _log, "What is logged."),
    Entry("POST", "/v2/logging", _set_log, "Change what is logged."),
    Entry("GET", "/pipectl/pipelines", _pipelines, "Pipelines as graphs, for the page."),
    Entry("GET", "/pipectl/figures", _figures, "Figures of pipelines and steps, for the page."),
)


Ask = Callable[[Caller, Entry, Mapping[str, str], bytes], Awaitable[Reply]]
"""A caller, a row of the table, what its path names and the body as it came, to the reply."""


def routes(operations: Front, entries: Iterable[Entry], ask: Ask | None = None) -> list[BaseRoute]:
    """Rows of the table as Starlette has them."""
    if ask is None:
        assert isinstance(operations, Operations)
        ask = Answers(operations)
    by_path: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        by_path.setdefault(entry.path, {})[entry.method] = entry
    return [
        Route(path, _Endpoint(operations, ask, methods), methods=list(methods)) for path, methods in by_path.items()
    ]


class Answers:
    """Answers rows of the table by the operations of this process."""

    def __init__(self, operations: Operations) -> None:
        self._of = operations

    async def __call__(self, caller: Caller, entry: Entry, path: Mapping[str, str], body: bytes) -> Reply:
        made = entry.answer(self._of, caller, Asking(path, _object(body)))
        if inspect.isawaitable(made):
            made = await made
        return made if isinstance(made, Reply) else json_reply({} if made is None else made)


class _Endpoint:
    """The methods of one path, as an ASGI app."""

    def __init__(self, operations: Front, ask: Ask, methods: Mapping[str, Entry]) -> None:
        self._of = operations
        self._ask = ask
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(scope, receive)
        except Exception as error:
            reply = error_reply(error, self._of.options)
        await reply.send(send)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        entry = self._methods["GET" if scope["method"] == "HEAD" else scope["method"]]
        head = head_of(scope, None)
        caller = caller_of(head, self._of.access)
        body = b""
        if entry.method == "POST":
            body = await body_of(scope, receive, head, self._of.options.max_message)
        reply = await self._ask(caller, entry, Request(scope).path_params, body)
        name = accepted(head.accept_encoding)
        if not name or reply.length < COMPRESS_FROM:
            return reply
        headers = [*reply.headers, (b"content-encoding", name.encode()), (b"vary", b"accept-encoding")]
        return Reply(reply.status, (compressed(reply.body, name),), reply.type, headers)


def _object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the request is no JSON object: {error}") from None
