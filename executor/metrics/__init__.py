"""Every metric family, declared in tables, and the Prometheus text of a `Snapshot`.

    Snapshot --FAMILIES (pipe, gpu, triton)--> prometheus_client families --render--> text

Nothing is counted here: a scrape reads what `stats` holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from executor.stats import Histogram, Snapshot

from .family import Family
from .gpu import GPU_FAMILIES
from .pipe import PIPE_FAMILIES, STATE_FAMILIES
from .triton import TRITON_FAMILIES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["FAMILIES", "GPU_FAMILIES", "PIPE_FAMILIES", "Collector", "Family", "render"]

FAMILIES: tuple[Family, ...] = PIPE_FAMILIES + STATE_FAMILIES + GPU_FAMILIES + TRITON_FAMILIES


class Collector:
    """A prometheus_client collector: `REGISTRY.register(Collector(engine.stats))`."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All families with their samples; families without one are left out."""
        snapshot = self._snapshot()
        for family in FAMILIES:
            metric = _metric(family, snapshot)
            if metric.samples:
                yield metric

    def describe(self) -> list[Metric]:
        """Names only, so that registering does not take a snapshot."""
        return [_metric(family, Snapshot()) for family in FAMILIES]


def render(snapshot: Snapshot) -> str:
    """The snapshot in the Prometheus text format, version 0.0.4."""
    from prometheus_client.exposition import generate_latest

    text = generate_latest(Collector(lambda: snapshot)).decode("utf-8")
    # The library spells every counter with `_total`. A foreign counter passes through it as untyped, and gets
    # its type back here: some scrapers take the difference of counters only.
    return re.sub(r"^(# TYPE nv_\w+) untyped$", r"\1 counter", text, flags=re.MULTILINE)


def _metric(family: Family, snapshot: Snapshot) -> Metric:
    from prometheus_client.core import Metric

    kind = "unknown" if family.kind == "foreign counter" else family.kind
    # A counter's family is named without `_total`, its samples with it.
    metric = Metric(family.name.removesuffix("_total"), family.help, kind)
    for values, value in family.read(snapshot):
        labels = dict(zip(family.labels, values))
        if isinstance(value, Histogram):
            _add_histogram(metric, labels, value)
        else:
            metric.add_sample(family.name, labels, value)
    return metric


def _add_histogram(metric: Metric, labels: dict[str, str], h: Histogram) -> None:
    for bound, below in zip((*map(_bound, h.bounds), "+Inf"), accumulate(h.counts)):
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, below)
    metric.add_sample(f"{metric.name}_count", labels, h.count)
    metric.add_sample(f"{metric.name}_sum", labels, h.total)


def _bound(value: float) -> str:
    """Without the noise that a change of unit leaves in a float."""
    return str(float(f"{value:.12g}"))
