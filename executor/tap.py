"""What went through every call, kept for looking at: inputs and outputs of each node, by request.

    Flow --entered/made/failed--> Tap --visits--> records, tests of single nodes

An engine has a tap only where somebody asked for one. Values are the columns' own views: nothing is copied, and
whatever they lie in stays alive until the tap goes. Calls with streams are not kept: looking at one would be reading
it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl.ir import Binding

from .cohort import Cohort, Layout
from .element import Element
from .errors import RequestError
from .join import Columns
from .node import Call


@dataclass(slots=True)
class Visit:
    """One element's way through one call."""

    request: str
    node: str
    stage: str
    binding: Binding
    inputs: dict[str, Any]
    """By input port, without those that the runtime fills (masks, lengths); None for an absent optional."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """By output port; empty where it failed or was dropped."""
    error: RequestError | None = None


class Tap:
    """Keeps every visit until it is read. Safe to call from several threads."""

    def __init__(self) -> None:
        self._visits: dict[tuple[Element, str], Visit] = {}
        self._lock = threading.Lock()

    def entered(self, node: Call, cohort: Cohort) -> None:
        """A cohort is about to run at a call. One that runs again replaces what was kept of it."""
        plan = node.stage.plan
        if node.stage.streams:
            return
        ports = [(i, port.name) for i, port in enumerate(plan.inputs) if not port.filled]
        with self._lock:
            for i, owner in enumerate(cohort.layout.owners):
                inputs = {name: _element(cohort.columns[at], i) for at, name in ports}
                self._visits[owner, node.name] = Visit(owner.id, node.name, plan.name, node.binding, inputs)

    def made(self, node: Call, layout: Layout, columns: Columns) -> None:
        """What a call made of elements that entered it."""
        if node.stage.streams:
            return
        names = [port.name for port in node.stage.plan.outputs]
        with self._lock:
            for i, owner in enumerate(layout.owners):
                visit = self._visits[owner, node.name]
                visit.outputs = {name: _element(column, i) for name, column in zip(names, columns)}

    def failed(self, owner: Element, error: RequestError) -> None:
        """An element failed at the call that the error names."""
        with self._lock:
            visit = self._visits.get((owner, error.node))
            if visit is not None:
                visit.error = error

    def visits(self, request: str | None = None) -> list[Visit]:
        """Those of one request, or all, in the order in which they began."""
        with self._lock:
            return [v for v in self._visits.values() if request is None or v.request == request]


def _element(column: Any, index: int) -> Any:
    return None if column is None else column.element(index)
