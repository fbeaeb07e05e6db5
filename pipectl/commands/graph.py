"""`pipectl graph`: a pipeline as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipectl.console import common
from pipectl.options import device, pipe_file, schedule, the_one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline_dsl.check import Options
    from pipeline_dsl.graph_text.picture import Arrow, Box
    from pipeline_dsl.graph_text.placed import Crossing, Edge
    from pipeline_dsl.ir import Graph
    from pipeline_dsl.plan import DeviceOverride

FORMATS = ("dot", "svg", "mermaid", "json")
SUFFIXES = {".dot": "dot", ".gv": "dot", ".svg": "svg", ".mmd": "mermaid", ".json": "json"}


@click.command("graph")
@pipe_file
@click.option("-p", "--pipeline", metavar="NAME", help="Which pipeline; needed if the file has several.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the ending of -o, else mermaid.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.")
@click.option("--schedule", "scheduled", is_flag=True, help="Colour streams; mark events and copies.")
@schedule
@device
@common
def command(
    file: str,
    pipeline: str | None,
    form: str | None,
    output: Path | None,
    scheduled: bool,
    profile: str | None,
    params: dict[str, str],
    device: DeviceOverride,
) -> None:
    """Draw a pipeline.

    Nodes are call sites, edges carry types, colours tell devices. Arms and bodies are panels of their construct; a
    shadow's is dashed. With --schedule, colours tell streams; an event between two of them is a dashed arrow, a copy
    to another device a bold one.
    """
    form = form or (SUFFIXES.get(output.suffix.lower(), "") if output else "mermaid")
    if not form:
        raise click.UsageError(f"`{output}` has no ending that says its format; give --format")
    from pipectl.compiling import options

    text = _drawn(file, pipeline, form, scheduled, options(profile, params, device=device))
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def _drawn(file: str, pipeline: str | None, form: str, scheduled: bool, options: Options) -> str:
    from pipectl.hardware import probe
    from pipeline_dsl import graph_text, planning
    from pipeline_dsl.compile import check_path, optimized
    from pipeline_dsl.diagnostics import CompileError

    program, sink = check_path(file, options)
    if program is None or sink.has_errors:
        raise CompileError(sink.sorted())
    name = the_one(file, list(program.pipelines), pipeline)
    plan = planning.build(optimized(program), probe(), options.device)
    devices = (graph_text.streams_of if scheduled else graph_text.devices_of)(plan, name)
    crossings = graph_text.crossings_of(plan, name) if scheduled else {}
    draw = {"dot": graph_text.dot, "svg": graph_text.svg, "mermaid": graph_text.mermaid, "json": _json}[form]
    return draw(program.pipelines[name], devices, crossings)


def _json(graph: Graph, devices: Mapping[str, str], crossings: Mapping[Edge, Crossing]) -> str:
    """Nodes and edges by index, those of each region by themselves; for other tools."""
    import json

    from pipeline_dsl.graph_text.picture import picture

    drawn = picture(graph, devices, crossings)
    return json.dumps({"pipeline": drawn.name, **_level(drawn.boxes, drawn.arrows)}, indent=2) + "\n"


def _level(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> dict[str, Any]:
    return {
        "nodes": [_node(box) for box in boxes],
        "edges": [_edge(arrow) for arrow in arrows],
    }


def _edge(arrow: Arrow) -> dict[str, Any]:
    edge: dict[str, Any] = {"from": arrow.source, "to": arrow.target, "values": list(arrow.labels)}
    return edge | ({"crossing": arrow.crossing} if arrow.crossing else {})


def _node(box: Box) -> dict[str, Any]:
    node: dict[str, Any] = {"name": box.title, "kind": box.kind, "detail": box.detail, "device": box.device or None}
    if box.kind == "control":
        node["regions"] = [{"name": p.title, "shadow": p.shadow, **_level(p.boxes, p.arrows)} for p in box.panels]
    return node
