"""A plan as HTML: what `plan_text` prints, with a picture of each pipeline.

`plan_page` is a page that needs nothing else: no script, no font, nothing from outside; it follows the reader's light
or dark mode. `plan_html` is the same as a part of another page, as notebooks show it: its rules are for itself alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from .expression_text import source_text, value_text
from .graph_text import devices_of, svg
from .plan import PipelinePlan, Plan
from .plan_text import (
    Row,
    door_text,
    headline,
    notes_at,
    setting_rows,
    slot_names,
    stage_rows,
    step_rows,
    streams_text,
)

_STAGES = ("stage", "backend", "device", "instances", "batching")
_STEPS = ("", "run", "node", "work", "device", "how often", "limits")


def plan_page(plan: Plan) -> str:
    """A whole page; ends with a newline."""
    title = f"Plan of {plan.path or 'a pipeline'}"
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{_text(title)}</title>",
        "<style>body{margin:0}</style>",
        "</head>",
        "<body>",
        plan_html(plan).rstrip("\n"),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def plan_html(plan: Plan) -> str:
    """One `<div>`; ends with a newline."""
    lines = ['<div class="pipe-plan">', _STYLE, "<header>", f"<h1>{_text(plan.path or 'Plan')}</h1>"]
    lines += [f"<p>{_text(headline(plan).partition(', ')[2])}</p>", "</header>"]
    for pipeline in plan.pipelines.values():
        lines += _pipeline(pipeline, plan)
    lines += _section("Stages", _STAGES, stage_rows(plan))
    params = [(name, value_text(p.value, p.type), p.origin) for name, p in plan.params.items()]
    lines += _section("Params", ("param", "value", "from"), params)
    settings = [note for note in plan.notes if note.kind == "setting"]
    lines += _section(f"Profile {plan.profile}".rstrip(), ("place", "setting"), setting_rows(settings))
    return "\n".join([*lines, "</div>"]) + "\n"


def _pipeline(pipeline: PipelinePlan, plan: Plan) -> Iterator[str]:
    yield f'<section class="pipeline"><h2>{_text(pipeline.name)}</h2>'
    if pipeline.doc:
        yield f"<p>{_text(pipeline.doc)}</p>"
    inputs = [("in", p.name, str(p.type), _default(p.has_default, p.default), p.doc) for p in pipeline.inputs]
    outputs = [("out", p.name, str(p.type), "", p.doc) for p in pipeline.outputs]
    yield from _table(("", "port", "type", "default", ""), [*inputs, *outputs])
    if pipeline.graph is not None:
        drawn = svg(pipeline.graph, devices_of(plan, pipeline.name)).rstrip("\n")
        label = f'role="group" aria-label="graph of {_text(pipeline.name)}"'
        yield f'<div class="picture" tabindex="0" {label}>{drawn}</div>'
    names = slot_names(pipeline, plan)
    returns = [("return", "", port.name, source_text(port.source, names), "", "", "") for port in pipeline.outputs]
    yield f"<details open><summary>Steps</summary><p>{_text(door_text(pipeline))}</p>"
    if streams := streams_text(pipeline):
        yield f"<p>{_text(streams)}</p>"
    yield from _table(_STEPS, [*step_rows(pipeline.steps, plan, names), *returns])
    yield "</details>"
    nodes = {pipeline.name, *(step.node for step in pipeline.every_step)}
    yield from _table(("", "node", "note"), [(n.kind, n.place, n.text) for n in notes_at(nodes, plan)])
    yield "</section>"


def _default(given: bool, value: object) -> str:
    return f"{value!r}" if given else ""


def _section(title: str, head: Row, rows: Sequence[Row]) -> Iterator[str]:
    if rows:
        yield f"<section><h2>{_text(title)}</h2>"
        yield from _table(head, rows)
        yield "</section>"


def _table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    """A table that scrolls by itself where the page is narrow; columns without any text are left out."""
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    if not used:
        return
    yield '<div class="rows"><table><thead><tr>'
    yield "".join(f"<th>{_text(head[i])}</th>" for i in used)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield f"<tr>{''.join(_cells(row[i] for i in used))}</tr>"
    yield "</tbody></table></div>"


def _cells(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        depth = (len(text) - len(text.lstrip(" "))) // 2
        indent = f' style="padding-left:{0.6 + depth}em"' if depth else ""
        yield f"<td{indent}>{_text(text.strip())}</td>"


def _text(text: str) -> str:
    return escape("".join(c if c.isprintable() else " " for c in text))


_RULES = """
{color:#1f2328;background:#ffffff;font:14px/1.5 ui-sans-serif,system-ui,sans-serif;padding:1.2rem;box-sizing:border-box}
h1{font-size:1.3rem;margin:0;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:1.6rem 0 .4rem}
p{margin:.2rem 0 .6rem;color:#59636e}
.rows{overflow-x:auto;margin:.4rem 0}
table{border-collapse:collapse;background:transparent}
th{font-weight:600;color:#59636e;font-size:.85em}
:is(th,td){text-align:left;vertical-align:top;padding:.2rem .6rem;border:0;border-bottom:1px solid #d1d9e0}
tr{background:transparent}
td{font-family:ui-monospace,monospace;font-size:.9em;min-width:3ch;max-width:60ch}
td:not(:last-child){white-space:nowrap}
td:nth-child(4){white-space:normal;min-width:18ch}
td:last-child{min-width:16ch}
.picture{overflow-x:auto;border:1px solid #d1d9e0;border-radius:6px;margin:.6rem 0}
.picture svg{display:block;margin:0 auto;max-width:none}
summary{cursor:pointer;font-weight:600;margin:.4rem 0}
"""
_DARK = """
{color:#e6edf3;background:#0d1117}
:is(p,th){color:#9198a1}
:is(th,td){border-color:#3d444d}
.picture{border-color:#3d444d}
"""


def _scoped(rules: str) -> str:
    return "\n".join(f".pipe-plan{'' if rule.startswith('{') else ' '}{rule}" for rule in rules.split("\n") if rule)


_STYLE = f"<style>\n{_scoped(_RULES)}\n@media (prefers-color-scheme:dark){{\n{_scoped(_DARK)}\n}}\n</style>"
