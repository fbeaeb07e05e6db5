"""What one metric is: its name, and how its samples are read from a `Snapshot`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from executor.stats import Histogram, Snapshot

Kind = Literal["counter", "gauge", "histogram", "foreign counter"]
"""A foreign counter keeps a name without `_total`, as the server it comes from spells it."""
Labels = tuple[str, ...]
Sample = tuple[Labels, float | Histogram]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `read` gives its samples, label values in the order of `labels`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Snapshot], Iterable[Sample]]
