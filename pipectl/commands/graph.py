"""`pipectl graph`: a pipeline as a picture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipectl.console import common
from pipectl.options import pipe_file, schedule, the_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_dsl.graph_text.picture import Arrow, Box
    from pipeline_dsl.ir import Graph

FORMATS = ("dot", "svg", "mermaid", "json")
SUFFIXES = {".dot": "dot", ".gv": "dot", ".svg": "svg", ".mmd": "mermaid", ".json": "json"}


@click.command("graph")
@pipe_file
@click.option("-p", "--pipeline", metavar="NAME", help="Which pipeline; needed if the file has several.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: by the ending of -o, else mermaid.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.")
@schedule
@common
def command(
    file: str,
    pipeline: str | None,
    form: str | None,
    output: Path | None,
    profile: str | None,
    params: dict[str, str],
) -> None:
    """Draw a pipeline.

    Nodes are call sites, edges carry types, colours tell devices. Arms and bodies are panels of their construct; a
    shadow's is dashed.
    """
    form = form or (SUFFIXES.get(output.suffix.lower(), "") if output else "mermaid")
    if not form:
        raise click.UsageError(f"`{output}` has no ending that says its format; give --format")
    text = _drawn(file, pipeline, form, profile, params)
    if output:
        output.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


def _drawn(file: str, pipeline: str | None, form: str, profile: str | None, params: dict[str, str]) -> str:
    from pipectl.compiling import options
    from pipectl.hardware import probe
    from pipeline_dsl import graph_text, planning
    from pipeline_dsl.compile import check_path, optimized
    from pipeline_dsl.diagnostics import CompileError

    program, sink = check_path(file, options(profile, params))
    if program is None or sink.has_errors:
        raise CompileError(sink.sorted())
    name = the_one(file, list(program.pipelines), pipeline)
    devices = graph_text.devices_of(planning.build(optimized(program), probe()), name)
    draw = {"dot": graph_text.dot, "svg": graph_text.svg, "mermaid": graph_text.mermaid, "json": _json}[form]
    return draw(program.pipelines[name], devices)


def _json(graph: Graph, devices: dict[str, str]) -> str:
    """Nodes and edges by index, those of each region by themselves; for other tools."""
    import json

    from pipeline_dsl.graph_text.picture import picture

    drawn = picture(graph, devices)
    return json.dumps({"pipeline": drawn.name, **_level(drawn.boxes, drawn.arrows)}, indent=2) + "\n"


def _level(boxes: Sequence[Box], arrows: Sequence[Arrow]) -> dict[str, Any]:
    return {
        "nodes": [_node(box) for box in boxes],
        "edges": [{"from": a.source, "to": a.target, "values": list(a.labels)} for a in arrows],
    }


def _node(box: Box) -> dict[str, Any]:
    node: dict[str, Any] = {"name": box.title, "kind": box.kind, "detail": box.detail, "device": box.device or None}
    if box.kind == "control":
        node["regions"] = [{"name": p.title, "shadow": p.shadow, **_level(p.boxes, p.arrows)} for p in box.panels]
    return node
