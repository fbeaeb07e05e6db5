"""What a pass may know beside the graph: the stages it calls. A value, so that passes stay pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline_dsl.ir import Stage


@dataclass(frozen=True, slots=True)
class Context:
    """Facts for all passes."""

    stages: Mapping[str, Stage]
    """By `Stage.name`, as calls spell it."""
