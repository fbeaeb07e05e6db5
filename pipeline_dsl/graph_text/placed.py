"""What a plan adds to the picture of a pipeline: where each call runs, and which edges are events or copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pipeline_dsl.ir import Input, Output
from pipeline_dsl.plan import OUTPUT, Plan, Slot, place_text, regions

Crossing = Literal["", "event", "copy"]
"""How a value gets to who reads it. event: its reader, on another stream, waits for one. copy: to another device."""

Edge = tuple[str, str]
"""Node ids of who makes a value and who reads it."""


def devices_of(plan: Plan, pipeline: str) -> dict[str, str]:
    """The device of each call site of a planned pipeline, those in constructs included."""
    steps = plan.pipelines[pipeline].every_step
    return {step.node: plan.stages[step.stage].device for step in steps if step.stage >= 0}


def streams_of(plan: Plan, pipeline: str) -> dict[str, str]:
    """The same with the stream (`place_text`). Those of a region of a construct are numbered for themselves."""
    steps = plan.pipelines[pipeline].every_step
    return {step.node: place_text(plan.stages[step.stage], step.stream) for step in steps if step.stage >= 0}


def crossings_of(plan: Plan, pipeline: str) -> Mapping[Edge, Crossing]:
    """The edges of a planned pipeline that cross from one stream or device to another."""
    planned = plan.pipelines[pipeline]
    nodes = {step.index: step.node for step in planned.every_step}
    makers, readers = _ends(plan, pipeline)
    found: dict[Edge, Crossing] = {}
    for step in planned.every_step:
        found.update(dict.fromkeys(((nodes[other], step.node) for other in step.waits), "event"))
    for transfer in planned.transfers:
        to = readers[transfer.slot] if transfer.reader == OUTPUT else (nodes[transfer.reader],)
        found.update(dict.fromkeys(((makers[transfer.slot], reader) for reader in to), "copy"))
    return found


def _ends(plan: Plan, pipeline: str) -> tuple[dict[int, str], dict[int, list[str]]]:
    """By slot: the node that makes it, and the outputs of the pipeline that it is."""
    planned = plan.pipelines[pipeline]
    graph = planned.graph
    assert graph is not None, "what is planned keeps its graph"
    inputs = {node.port.name: node.id for node in graph.nodes if isinstance(node, Input)}
    outputs = {node.port.name: node.id for node in graph.nodes if isinstance(node, Output)}
    makers = {port.slot: inputs[port.name] for port in planned.inputs}
    for step in planned.every_step:
        makers.update(dict.fromkeys(step.outputs, step.node))
        for region in regions(step.control):
            makers.update(zip(region.given, region.names, strict=True))
    readers: dict[int, list[str]] = {}
    for port in planned.outputs:
        if isinstance(port.source, Slot):
            readers.setdefault(port.source.index, []).append(outputs[port.name])
    return makers, readers
