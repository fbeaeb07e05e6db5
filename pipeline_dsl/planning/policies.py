"""Settings of a profile -> the typed policies of a plan. Durations are whole nanoseconds on both sides.

Each function takes the merged settings of one stage or pipeline and fills in the defaults; what the checker has
proved (types, closed keys, ranges) is not looked at again.
"""

from __future__ import annotations

from typing import Any

from pipeline_dsl.ir import Settings
from pipeline_dsl.plan import AUTO, AdmissionPolicy, AheadPolicy, BatchPolicy, LevelPolicy, QueuePolicy, Warmup

from .reading import read


def batch_policy(settings: Settings, has_rows: bool) -> BatchPolicy:
    """A stage without `*` has no limit: it runs once for each request of a cohort, however many came together.

    The default limit is met under load only, as the batcher takes what waits. It is past the knee of throughput for
    most models, and bounds the memory of a batch and the time that everybody behind it waits for."""
    if not has_rows:
        return BatchPolicy()
    delay = read(settings, "batching.delay")
    return BatchPolicy(
        max_rows=read(settings, "batching.max"),
        delay_ns=AUTO if delay == "auto" else delay,
        preferred=tuple(sorted(read(settings, "batching.preferred"))),
    )


def queue_policy(settings: Settings) -> QueuePolicy:
    """What `queue` says holds for every level; `level n` overrides it for one."""
    levels = tuple(_level(settings, n) for n in range(1, read(settings, "queue.levels") + 1))
    return QueuePolicy(levels, read(settings, "queue.default_level"))


def warmup(settings: Settings) -> Warmup | None:
    """None where nothing is said. Keys that are no words of `warmup` are size names."""
    given = {k.removeprefix("warmup."): s.value for k, s in settings.items() if k.startswith("warmup.")}
    if not given:
        return None
    sizes = {k: _numbers(v) for k, v in given.items() if k not in ("batch", "count", "data")}
    return Warmup(
        batches=_numbers(given.get("batch", ())),
        sizes=sizes,
        count=read(settings, "warmup.count"),
        data=read(settings, "warmup.data"),
    )


def ahead_policy(settings: Settings) -> AheadPolicy:
    """The bound of each stream that a stage makes."""
    return AheadPolicy(read(settings, "ahead.max"), read(settings, "ahead.bytes"))


def admission_policy(settings: Settings) -> AdmissionPolicy:
    """The door of one pipeline."""
    return AdmissionPolicy(
        max_inflight=read(settings, "max_inflight"),
        max_bytes=read(settings, "max_bytes"),
        queue_max=read(settings, "queue.max"),
        queue_timeout_ns=read(settings, "queue.timeout"),
    )


def _level(settings: Settings, number: int) -> LevelPolicy:
    def at(key: str) -> Any:
        own = settings.get(f"queue.level.{number}.{key}")
        return read(settings, f"queue.{key}") if own is None else own.value

    return LevelPolicy(at("max"), at("timeout"), at("on_timeout"), at("override"))


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
