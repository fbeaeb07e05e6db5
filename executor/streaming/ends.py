"""The two ends of a pipeline with stream outputs: what is handed out at once, and what comes when they end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from backends.values import Value
from executor.cohort import Cohort
from executor.columns import Copies
from executor.egress import values_of
from executor.node import Egress
from executor.request import Request

if TYPE_CHECKING:
    from executor.flow import Flow


class Handover(Egress):
    """The end of what is handed out at once."""

    __slots__ = ()

    def answer(self, cohort: Cohort, flow: Flow) -> None:
        for request, values in _by_request(cohort, flow, early=True):
            if not request.done and request.answer is not None:
                request.answer.hand_over(request, values)


class Completion(Egress):
    """The end of what comes when streams have ended."""

    __slots__ = ()

    def answer(self, cohort: Cohort, flow: Flow) -> None:
        for request, values in _by_request(cohort, flow, early=False):
            if not request.done and request.answer is not None:
                request.answer.complete(request, values)


def _by_request(cohort: Cohort, flow: Flow, *, early: bool) -> list[tuple[Request, dict[str, Value]]]:
    owners = cast(Sequence[Request], cohort.layout.owners)  # only requests come to the end of a pipeline
    variant = owners[0].variant
    names = [o.name for o in (variant.early if early else variant.late)]
    copies = Copies()
    rows = values_of(cohort, copies)
    flow.tally.copied(variant.pipeline.name, copies)
    return [(owner, dict(zip(names, row))) for owner, row in zip(owners, rows)]
