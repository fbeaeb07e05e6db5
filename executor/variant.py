"""The part of a pipeline that one kind of request needs, wired for running.

    PipelinePlan + wanted outputs -> Variant(nodes, edges, joins)

Steps that only serve outputs nobody asked for are not in it, so they cost nothing at run time.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline_dsl.plan import OutputPlan, PipelinePlan

from .node import Edge, Egress
from .wiring import Circuit, Stages, Wirer


class Variant(Circuit):
    """Nodes and edges for one set of wanted outputs."""

    __slots__ = ("edges", "outputs", "pipeline")

    def __init__(self, pipeline: PipelinePlan, outputs: tuple[OutputPlan, ...]) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.outputs = outputs
        self.edges: tuple[Edge, ...] = ()
        """From the pipeline's inputs."""


def build(pipeline: PipelinePlan, wanted: Sequence[str] | None, stages: Stages) -> Variant:
    """The variant for the wanted outputs (None: all). KeyError for an output the pipeline does not have."""
    by_name = {o.name: o for o in pipeline.outputs}
    outputs = pipeline.outputs if wanted is None else tuple(by_name[n] for n in wanted)
    variant = Variant(pipeline, outputs)
    variant.edges, _ = Wirer(stages, variant).wire(
        [p.slot for p in pipeline.inputs],
        pipeline.steps,
        [o.source for o in outputs],
        lambda arguments, sides: Egress(pipeline.name, arguments, sides),
    )
    return variant
