"""From a call to a request, and from requests to the cohorts that enter the graph.

    inputs --check--> Request --(admitted)--> cohort of all that come in together and need the same

Inputs are checked against the pipeline's types here and nowhere else. Requests that were admitted together enter as
one cohort, so that what follows is paid once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from backends.inputs import RequestCheck
from backends.shapes import ROWS
from backends.values import InvalidInput, Value
from pipeline_dsl.plan import InputPlan, PipelinePlan, Plan
from pipeline_dsl.spell import did_you_mean

from .cohort import Cohort, Layout
from .columns import Items, size_of
from .errors import InvalidArgument, NotFound
from .request import Request, Sink
from .sequence import SequenceInfo
from .stage import StageRuntime
from .variant import Variant, build

MAX_SECONDS = 1e9
"""The longest timeout, thirty years; `inf` is that too."""

MAX_VARIANTS = 256
"""Sets of wanted outputs that stay wired up; further ones are wired anew for each request."""


class Ingress:
    """Makes requests for one engine. Safe to call from several threads."""

    def __init__(self, plan: Plan, stages: Sequence[StageRuntime], refused: Callable[[str, str], None]) -> None:
        """`refused` is told pipeline and reason of a request whose inputs are wrong."""
        self.plan = plan
        self.stages = stages
        self._refused = refused
        self._pipelines = {name: _Checked(p) for name, p in plan.pipelines.items()}
        self._variants: dict[tuple[str, tuple[str, ...] | None], Variant] = {}
        self._serials = count(1)

    @property
    def variants(self) -> list[Variant]:
        """Those wired up so far."""
        return list(self._variants.values())

    def forget(self) -> None:
        """What was wired so far does not hold any more."""
        self._variants.clear()

    def request(
        self,
        pipeline: str,
        inputs: Mapping[str, Any],
        sink: Sink,
        now: int,
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
        priority: int | None = None,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        sequence: SequenceInfo | None = None,
    ) -> Request:
        """A checked request. NotFound for an unknown pipeline or output, InvalidArgument for wrong inputs."""
        serial = next(self._serials)
        request_id = id or f"r{serial}"
        checked = self._pipelines.get(pipeline)
        if checked is None:
            hint = did_you_mean(pipeline, self.plan.pipelines) or f"pipelines: {', '.join(self.plan.pipelines)}"
            raise NotFound(f"there is no pipeline `{pipeline}`; {hint}", request_id=request_id)
        plan = checked.plan
        variant = self._variants.get((pipeline, None if outputs is None else tuple(outputs)))
        if variant is None:
            variant = self._wired(plan, outputs)
        try:
            values, sizes = checked.check(inputs)
            if plan.sequence or sequence is not None:
                _check_sequence(plan, sequence)
        except InvalidInput as error:
            self._refused(pipeline, InvalidArgument.reason)
            raise InvalidArgument(str(error), pipeline=pipeline, request_id=request_id) from None
        if checked.defaults:
            values = tuple(v if p.name in inputs else _default(p, sizes) for v, p in zip(values, plan.inputs))
        nbytes = 0
        for value in values:
            if value is not None:
                nbytes += size_of(value)
        request = Request(
            request_id,
            serial,
            pipeline,
            variant,
            values,
            nbytes,
            sizes.get(ROWS, 1),
            now,
            None if timeout is None and not plan.timeout_ns else _deadline(plan, timeout, now),
            priority or 0,
            sink,
            {name.lower(): value for name, value in headers.items()} if headers else None,
        )
        request.sequence = sequence
        return request

    def _wired(self, plan: PipelinePlan, outputs: Sequence[str] | None) -> Variant:
        """A new variant, kept for the next request that wants the same."""
        try:
            made = build(plan, outputs, self.stages)
        except KeyError as error:
            names = [o.name for o in plan.outputs]
            hint = did_you_mean(str(error.args[0]), names) or f"outputs: {', '.join(names)}"
            raise NotFound(f"there is no output `{error.args[0]}`; {hint}", pipeline=plan.name) from None
        if len(self._variants) < MAX_VARIANTS:
            made = self._variants.setdefault((plan.name, None if outputs is None else tuple(outputs)), made)
        return made

    def cohorts(self, requests: Iterable[Request]) -> list[tuple[Variant, Cohort]]:
        """Admitted requests as cohorts: one for each variant and each set of optional inputs that are there."""
        groups: dict[Any, list[Request]] = {}
        for request in requests:
            variant = request.variant
            key = (variant, tuple(v is None for v in request.values)) if variant.optional else variant
            groups.setdefault(key, []).append(request)
        return [(group[0].variant, _cohort(group)) for group in groups.values()]


class _Checked:
    """A pipeline, and what its inputs must be."""

    __slots__ = ("check", "defaults", "plan")

    def __init__(self, plan: PipelinePlan) -> None:
        self.plan = plan
        self.check = RequestCheck(plan.inputs, plan.bounds)
        self.defaults = any(i.has_default for i in plan.inputs)


def _cohort(requests: list[Request]) -> Cohort:
    ports = requests[0].variant.pipeline.inputs
    values = zip(*[r.values for r in requests])
    columns = tuple([None if v[0] is None and p.type.optional else Items(list(v)) for p, v in zip(ports, values)])
    for request in requests:
        request.values = ()
    return Cohort(Layout(tuple(requests)), columns)


def _deadline(plan: PipelinePlan, timeout: float | None, now: int) -> int | None:
    """The earlier of the request's own limit (seconds) and the pipeline's."""
    limits = [plan.timeout_ns] if plan.timeout_ns else []
    if timeout is not None:
        limits.append(int(min(max(timeout, 0.0), MAX_SECONDS) * 1e9))
    return now + min(limits) if limits else None


def _check_sequence(plan: PipelinePlan, sequence: SequenceInfo | None) -> None:
    """InvalidInput for a request of a sequence where none is taken, and the other way round."""
    if sequence is None:
        text = "it takes requests of sequences only: give the correlation id of one, and `start` with its first request"
        raise InvalidInput(text)
    if not plan.sequence:
        text = f"it takes no sequences; the request says it belongs to {sequence.id!r}"
        raise InvalidInput(text)
    sequence.check()


def _default(port: InputPlan, sizes: Mapping[str, Any]) -> Value:
    """The default of an input, None without one; for a port with `*` one for each row of the others."""
    if not port.has_default or not port.type.has_rows:
        return port.default
    rows = np.empty(sizes.get(ROWS, 1), port.type.dtype.numpy)
    rows.fill(port.default)
    rows.flags.writeable = False
    return rows
