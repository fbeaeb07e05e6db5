"""Dashboard and alerts: up to date, about metrics that there are, and, where promtool is installed, right."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from executor.metrics import FAMILIES

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "pipectl.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SUFFIXES = ("", "_bucket", "_sum", "_count")
KNOWN = {f.name + suffix for f in FAMILIES for suffix in (SUFFIXES if f.kind == "histogram" else ("",))}


def metrics(text: str) -> set[str]:
    return set(re.findall(r"\b(?:pipe|nv)_[a-z_]+", text))


def test_the_dashboard_is_what_its_script_makes():
    subprocess.run([sys.executable, ROOT / "scripts" / "dashboard.py", "--check"], check=True, timeout=60)


def test_queries_ask_for_metrics_that_there_are():
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = set().union(*(metrics(t["expr"]) for p in panels for t in p.get("targets", [])))
    assert len(asked) > 10
    assert asked <= KNOWN
    rules = metrics(re.sub(r"description:.*", "", ALERTS.read_text(encoding="utf-8")))
    assert rules
    assert rules <= KNOWN


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, Debian's package prometheus")
@pytest.mark.parametrize("args", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")])
def test_alerts_are_right(args):
    done = subprocess.run(["promtool", *args], cwd=ALERTS.parent, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
