"""Keys of a profile: for stages and their call sites, and for pipelines."""

from __future__ import annotations

from typing import Any

from .base import KeySpec, Kind


def _stage(name: str, kind: Kind, default: Any, doc: str, **more: Any) -> KeySpec:
    return KeySpec(name, kind, default, "stage", doc, **more)


def _onnx(name: str, kind: Kind, doc: str, **more: Any) -> KeySpec:
    return KeySpec(name, kind, None, "stage", doc, backends=("onnx",), **more)


def _llm(name: str, kind: Kind, doc: str, **more: Any) -> KeySpec:
    return KeySpec(name, kind, None, "stage", doc, backends=("llm",), **more)


def _pipeline(name: str, kind: Kind, default: Any, doc: str, **more: Any) -> KeySpec:
    return KeySpec(name, kind, default, "pipeline", doc, **more)


_LATE = ("reject", "delay")

STAGE: tuple[KeySpec, ...] = (
    _stage(
        "device",
        "device",
        "cpu",
        "`cpu`, `cuda(0)`, `cuda([0, 1])`, `any`; `sim`: a GPU that is simulated, for tests",
        words=("cpu", "any", "sim"),
    ),
    _stage("instances", "int", 1, "loaded copies that work side by side", minimum=1),
    _stage("threads", "int", 0, "compute threads of an instance; 0: cores over concurrent instances"),
    _stage("affine", "bool", False, "each instance is called from one thread of its own"),
    _stage("isolate", "word", "", "`process`: instances run in their own", words=("process", "none")),
    _stage("batching.max", "int", 64, "rows of a batch at most", minimum=1),
    _stage("batching.delay", "duration", 0, "longest wait for company; `auto` learns it", words=("auto",)),
    _stage("batching.preferred", "ints", (), "batch sizes to wait for, in rows", minimum=1),
    _stage("batching.order", "word", "any", "`keep`: results in the order of batches", words=("keep", "any")),
    _stage("queue.max", "int", 1024, "rows that may wait; more are refused", minimum=1),
    _stage("queue.timeout", "duration", 0, "how long a row may wait; 0: for ever"),
    _stage("queue.on_timeout", "word", "reject", "late rows are refused, or go last", words=_LATE),
    _stage("queue.override", "bool", False, "requests with a deadline of their own may wait until then"),
    _stage("queue.levels", "int", 1, "priority levels; 1 is served first", minimum=1),
    _stage("queue.default_level", "int", 1, "level of requests that name none", minimum=1),
    _stage("queue.level.*.max", "int", None, "`queue.max` of one level", minimum=1),
    _stage("queue.level.*.timeout", "duration", None, "`queue.timeout` of one level"),
    _stage("queue.level.*.on_timeout", "word", None, "`queue.on_timeout` of one level", words=_LATE),
    _stage("queue.level.*.override", "bool", None, "`queue.override` of one level"),
    _stage("warmup.batch", "ints", (), "rows of the batches that run before it is ready", minimum=1),
    _stage("warmup.count", "int", 1, "how often each of them runs", minimum=1),
    _stage("warmup.data", "path", "zero", "`zero`, `random`, or a file", words=("zero", "random")),
    _stage("warmup.*", "ints", None, "values of a size name: `L = [32, 512]`"),
    _stage("ahead.max", "int", 64, "elements of a stream that wait for its slowest reader at most", minimum=1),
    _stage("ahead.bytes", "size", 1 << 20, "bytes of them", minimum=1),
    _stage("cache.size", "size", None, "bytes of answers that are kept", minimum=1),
    _stage("cache.ttl", "duration", None, "how long an answer is kept"),
    _stage("cache.key", "names", (), "input ports that make the key; none: all"),
    _stage("limit.resource.*", "int", None, "units of a shared resource that a batch holds"),
    _stage("limit.total.*", "int", None, "units that there are in all; without it, the largest claim", minimum=1),
    _stage("limit.priority", "int", 1, "turns: 2 has half as many executions as 1 where both wait", minimum=1),
    _stage("version", "int", None, "version of calls that pin none", words=("latest",)),
    _stage("versions", "ints", (), "versions that are kept loaded"),
    _stage(
        "graphs",
        "ints",
        None,
        "rows of the batches that are captured as CUDA graphs before it is ready; without it, as they come",
        words=("off",),
        minimum=1,
    ),
    _stage("sms", "int", None, "multiprocessors of its GPU that its work is kept to; without it, all", minimum=1),
    _stage("fuse", "names", None, "the only stages that may run as one with it; without it, any", words=("false",)),
    _stage("stream", "word", "own", "`shared`: the stream of its neighbours", words=("shared", "own")),
    _stage("memory", "share", None, "device memory it may take", minimum=1),
    _stage("pin", "bool", False, "host buffers are page-locked"),
    _stage("triton.*", "value", None, "a field of Triton's model configuration, for `pipectl export`"),
    KeySpec("timeout", "duration", 0, "call", "of one call, within the request's deadline; 0: none"),
    KeySpec("priority", "int", None, "call", "level in the stage's queue; 1 is served first", minimum=1),
    _onnx("accelerate.tensorrt.precision", "word", "of the TensorRT provider", words=("fp32", "fp16", "int8")),
    _onnx("accelerate.tensorrt.cache", "path", "folder of built engines"),
    _llm("scheduler.max_running", "int", "sequences that are generated at once", minimum=1),
    _llm("scheduler.max_batched_tokens", "int", "tokens of one step", minimum=1),
    _llm("scheduler.chunked_prefill", "bool", "long prompts are split over steps"),
    _llm("scheduler.policy", "word", "who is served first", words=("fcfs", "priority")),
    _llm("kv.page", "int", "tokens of one page", minimum=1),
    _llm("kv.memory", "share", "memory of the key-value cache", minimum=1),
    _llm("kv.prefix_cache", "bool", "equal beginnings share pages"),
    _llm("kv.dtype", "word", "dtype of the cache", words=("auto", "f16", "bf16", "fp8")),
    _llm("parallel.tensor", "int", "GPUs that share each layer", minimum=1),
    _llm("parallel.pipeline", "int", "groups of layers on GPUs of their own", minimum=1),
    _llm("speculative.draft", "string", "the small model that guesses"),
    _llm("speculative.tokens", "int", "tokens guessed at once", minimum=1),
)

_IDLE = ("stream", "pin", "accelerate")


def is_idle(key: str) -> bool:
    """Whether a key is checked, and nothing reads it in this version. Those of a backend that is missing are not."""
    return any(key == idle or key.startswith(f"{idle}.") for idle in _IDLE)


PIPELINE: tuple[KeySpec, ...] = (
    _pipeline("timeout", "duration", 0, "of a whole request; 0: none"),
    _pipeline("max_inflight", "int", 1024, "requests inside at most", minimum=1),
    _pipeline("max_bytes", "size", 0, "bytes of inputs inside; 0: no limit"),
    _pipeline("queue.max", "int", 1024, "requests that may wait before the door"),
    _pipeline("queue.timeout", "duration", 0, "how long they may wait; 0: for ever"),
    _pipeline("rate_limit.rate", "float", None, "requests let in"),
    _pipeline("rate_limit.per", "duration", 10**9, "in this time", minimum=1),
    _pipeline("rate_limit.burst", "int", None, "saved up at most; without it, those of one `per`", minimum=1),
    _pipeline("rate_limit.by", "header", None, '`header("x")`: its values are counted apart'),
    _pipeline("triton.*", "value", None, "a field of Triton's model configuration, for `pipectl export`"),
)
