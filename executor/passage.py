"""What one thread carries through the graph: where cohorts have got to, and which elements have ended on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .cohort import Cohort
from .element import Element
from .errors import RequestError

if TYPE_CHECKING:
    from .flow import Flow
    from .node import Call, Egress, Node
    from .request import Outcome

Places = list[tuple["Call", Cohort]]
"""Cohorts and the calls they have reached."""


class Passage:
    """Filled on the way, emptied by who started it. One is made for every batch: lists that are mostly empty are made
    when they are needed."""

    behind: tuple[tuple[Call, Cohort], ...] = ()
    """At stages, and served when nothing else is: what is ready takes instances first."""
    done: tuple[tuple[Egress, Cohort], ...] = ()
    """At the end of a pipeline."""
    ended: list[tuple[Element, Outcome]] | None = None

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.ready: Places = []
        """At stages."""

    def end(self, element: Element, outcome: Outcome) -> None:
        if self.ended is None:
            self.ended = []
        self.ended.append((element, outcome))

    def fail(self, element: Element, node: Node, error: RequestError, cause: Exception | None = None) -> None:
        """An element ends at a node."""
        error.pipeline = element.pipeline
        error.node = error.node or node.name
        error.request_id = element.id
        if cause is not None:
            error.__cause__ = cause
        self.end(element, error)
