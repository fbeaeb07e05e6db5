"""Settings of a profile -> the typed policies of a plan. Durations are whole nanoseconds on both sides.

Each function takes the merged settings of one stage or pipeline and fills in the defaults; what the checker has
proved (types, closed keys, ranges) is not looked at again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pipeline_dsl.ir import SequenceRule, Settings
from pipeline_dsl.plan import (
    AUTO,
    AdmissionPolicy,
    AheadPolicy,
    BatchPolicy,
    CachePolicy,
    LevelPolicy,
    QueuePolicy,
    RatePolicy,
    ResourceClaim,
    Warmup,
)

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
        in_order=read(settings, "batching.order") == "keep",
    )


def sequence_policy(policy: BatchPolicy, rule: SequenceRule | None, has_rows: bool) -> BatchPolicy:
    """The same for a sequence stage: the delay is that of its slots, and a batch has a row for each direct slot."""
    if rule is None:
        return policy
    policy = replace(policy, delay_ns=rule.delay_ns or policy.delay_ns)
    if has_rows and rule.strategy == "direct" and rule.slots:
        return replace(policy, max_rows=rule.slots, preferred=())
    return policy


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


def cache_policy(settings: Settings) -> CachePolicy | None:
    """None where nothing is kept."""
    size = settings.get("cache.size")
    if size is None:
        return None
    ttl = settings.get("cache.ttl")
    return CachePolicy(size.value, 0 if ttl is None else ttl.value, tuple(read(settings, "cache.key")))


def claims(settings: Settings) -> tuple[ResourceClaim, ...]:
    """What an execution holds of shared resources, by name."""
    found = {k.removeprefix(_CLAIM): s.value for k, s in settings.items() if k.startswith(_CLAIM)}
    return tuple(ResourceClaim(name, units) for name, units in sorted(found.items()) if units)


def totals(settings: Iterable[Settings]) -> dict[str, int]:
    """How much there is of shared resources, where a profile says so: the largest number that is said."""
    found: dict[str, int] = {}
    for one in settings:
        for key, setting in one.items():
            if key.startswith(_TOTAL):
                name = key.removeprefix(_TOTAL)
                found[name] = max(found.get(name, 0), setting.value)
    return dict(sorted(found.items()))


_CLAIM, _TOTAL = "limit.resource.", "limit.total."


def rate_policy(settings: Settings) -> RatePolicy | None:
    """None where requests may come as fast as they like. Without `burst`, what comes in one `per`, at least one."""
    rate = settings.get("rate_limit.rate")
    if rate is None:
        return None
    burst, by = settings.get("rate_limit.burst"), settings.get("rate_limit.by")
    most = max(1, int(rate.value)) if burst is None else burst.value
    return RatePolicy(rate.value, read(settings, "rate_limit.per"), most, "" if by is None else by.value)


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
