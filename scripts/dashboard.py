"""Writes deploy/grafana/pipectl.json, the dashboard of a server; `--check` only says whether it is up to date.

Panels are rows of a table here: a title, queries with their legends, a unit. Grafana's own form is made from them.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent.parent / "deploy" / "grafana" / "pipectl.json"
WIDTH, HEIGHT, COLUMNS = 8, 8, 3
WINDOW = "[$__rate_interval]"
REQUESTS = "pipe_requests_total"
P, N = 'pipeline=~"$pipeline"', 'pipeline=~"$pipeline", node=~"$node"'


@dataclass(frozen=True)
class Panel:
    title: str
    queries: tuple[tuple[str, str], ...]
    """PromQL and legend."""
    unit: str = "short"


def rate(metric: str, labels: str, by: str) -> str:
    return f"sum by ({by}) (rate({metric}{{{labels}}}{WINDOW}))"


def quantile(q: float, metric: str, labels: str, by: str) -> str:
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{labels}}}{WINDOW})))"


def mean(metric: str, labels: str, by: str) -> str:
    return f"{rate(f'{metric}_sum', labels, by)} / {rate(f'{metric}_count', labels, by)}"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Pipelines",
        (
            Panel(
                "Requests",
                ((rate("pipe_requests_total", P, "pipeline, outcome"), "{{pipeline}} {{outcome}}"),),
                "reqps",
            ),
            Panel(
                "Time of a request",
                (
                    (quantile(0.5, "pipe_request_seconds", P, "pipeline"), "{{pipeline}} p50"),
                    (quantile(0.99, "pipe_request_seconds", P, "pipeline"), "{{pipeline}} p99"),
                ),
                "s",
            ),
            Panel(
                "Inside and waiting",
                (
                    (f"sum by (pipeline) (pipe_requests_inflight{{{P}}})", "{{pipeline}} inside"),
                    (f"sum by (pipeline) (pipe_requests_waiting{{{P}}})", "{{pipeline}} waiting"),
                ),
            ),
            Panel(
                "Failures by reason",
                (
                    (
                        rate("pipe_requests_total", f'{P}, outcome!="success"', "pipeline, reason"),
                        "{{pipeline}} {{reason}}",
                    ),
                ),
                "reqps",
            ),
        ),
    ),
    (
        "Nodes",
        (
            Panel("Rows", ((rate("pipe_node_rows_total", N, "node"), "{{node}}"),)),
            Panel("Rows in a batch", ((mean("pipe_node_batch_rows", N, "node"), "{{node}}"),)),
            Panel("Wait, p95", ((quantile(0.95, "pipe_node_queue_seconds", N, "node"), "{{node}}"),), "s"),
            Panel("Batch, mean time", ((mean("pipe_node_compute_seconds", N, "node"), "{{node}}"),), "s"),
            Panel("Copied", ((rate("pipe_copied_bytes_total", N, "node, reason"), "{{node}} {{reason}}"),), "Bps"),
            Panel("Rows for nobody", ((rate("pipe_dead_rows_total", N, "node"), "{{node}}"),)),
        ),
    ),
    (
        "Stages",
        (
            Panel("Waiting rows", (("sum by (stage) (pipe_stage_waiting_rows)", "{{stage}}"),)),
            Panel(
                "Busy instances",
                ((rate("pipe_instance_busy_seconds_total", "", "stage, instance"), "{{stage}} {{instance}}"),),
                "percentunit",
            ),
            Panel("Restarts", (("sum by (stage) (increase(pipe_stage_restarts_total[1h]))", "{{stage}}"),)),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "id": len(panels) + 1, "gridPos": _place(0, y, 24, 1)})
        y += 1
        for i, panel in enumerate(row):
            place = _place(i % COLUMNS * WIDTH, y + i // COLUMNS * HEIGHT, WIDTH, HEIGHT)
            panels.append(_panel(panel, len(panels) + 1, place))
        y += -(-len(row) // COLUMNS) * HEIGHT
    return {
        "title": "pipectl",
        "uid": "pipectl",
        "schemaVersion": 39,
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "10s",
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "Source"},
                _variable("pipeline", "label_values(pipe_requests_total, pipeline)"),
                _variable("node", f"label_values(pipe_node_rows_total{{{P}}}, node)"),
            ]
        },
        "panels": panels,
    }


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _panel(panel: Panel, id: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [{"refId": chr(65 + i), "expr": q, "legendFormat": legend} for i, (q, legend) in enumerate(panel.queries)]
    return {
        "type": "timeseries",
        "title": panel.title,
        "id": id,
        "gridPos": place,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": targets,
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "query": query,
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" in sys.argv:
        return int(not PATH.exists() or PATH.read_text(encoding="utf-8") != text)
    PATH.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
