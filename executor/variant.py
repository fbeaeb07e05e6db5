"""The part of a pipeline that one kind of request needs, wired for running.

    PipelinePlan + wanted outputs -> Variant(nodes, edges, joins)

Steps that only serve outputs nobody asked for are not in it, so they cost nothing at run time.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_dsl.plan import OutputPlan, PipelinePlan, Slot

from .node import Edge, Egress
from .streaming.edges import late_slots, stream_slots
from .streaming.ends import Completion, Handover
from .wiring import Circuit, Stages, Wirer


class Variant(Circuit):
    """Nodes and edges for one set of wanted outputs."""

    __slots__ = ("early", "edges", "late", "optional", "outputs", "pipeline", "streams")

    def __init__(self, pipeline: PipelinePlan, outputs: tuple[OutputPlan, ...]) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.outputs = outputs
        self.edges: tuple[Edge, ...] = ()
        """From the pipeline's inputs."""
        self.optional = any(i.type.optional for i in pipeline.inputs)
        """Whether an input may be absent."""
        self.streams = any(o.type.stream for o in outputs)
        """Whether an answer is handed out before it is complete."""
        self.early = outputs
        """Outputs that are there when it is handed out."""
        self.late: tuple[OutputPlan, ...] = ()
        """Outputs that come when streams have ended."""


def build(pipeline: PipelinePlan, wanted: Sequence[str] | None, stages: Stages) -> Variant:
    """The variant for the wanted outputs (None: all). KeyError for an output the pipeline does not have."""
    by_name = {o.name: o for o in pipeline.outputs}
    outputs = pipeline.outputs if wanted is None else tuple(by_name[n] for n in wanted)
    variant = Variant(pipeline, outputs)
    wirer = Wirer(stages, variant, stream_slots(pipeline))
    inputs = [p.slot for p in pipeline.inputs]
    if variant.streams:
        _streaming(variant, wirer, inputs, stages)
    else:
        variant.edges, _ = wirer.wire(
            inputs,
            pipeline.steps,
            [o.source for o in outputs],
            lambda arguments, sides: Egress(pipeline.name, arguments, sides),
            device_streams=pipeline.device_streams,
        )
    return variant


def _streaming(variant: Variant, wirer: Wirer, inputs: list[int], stages: Stages) -> None:
    """Two ends: one for what is handed out at once, one for what comes later."""
    name = variant.pipeline.name
    late = late_slots(variant.pipeline, stages)
    is_late = {o.name: isinstance(o.source, Slot) and o.source.index in late for o in variant.outputs}
    variant.early = tuple(o for o in variant.outputs if not is_late[o.name])
    variant.late = tuple(o for o in variant.outputs if is_late[o.name])
    variant.edges, _ = wirer.wire(
        inputs,
        variant.pipeline.steps,
        [o.source for o in variant.late],
        lambda arguments, sides: Completion(name, arguments, sides),
        early=([o.source for o in variant.early], lambda arguments, sides: Handover(name, arguments, sides)),
        device_streams=variant.pipeline.device_streams,
    )
