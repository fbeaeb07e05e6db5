"""An InferenceGraph as it is written, checked: nodes of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Router = Literal["Sequence", "Switch", "Ensemble", "Splitter"]
ROUTERS: tuple[Router, ...] = ("Sequence", "Switch", "Ensemble", "Splitter")
ROOT = "root"
"""The node that gets the request."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a node sends a request: to exactly one of `service`, `url` and `node`."""

    name: str
    service: str = ""
    url: str = ""
    node: str = ""
    condition: str = ""
    response: bool = False
    """It gets the answer of the step before it, not the request."""
    weight: int = 0
    dependency: Literal["", "Hard", "Soft"] = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A router and its steps."""

    name: str
    router: Router
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """One InferenceGraph. `timeout` in seconds; 0: none."""

    name: str
    namespace: str
    nodes: Mapping[str, Node]
    timeout: int = 0
    left_out: tuple[str, ...] = ()
    """Fields that nothing here is made of."""
