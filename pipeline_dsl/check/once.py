"""E0507: a stage with `effects = once` where it may be started a second time for a request."""

from __future__ import annotations

from pipeline_dsl import ir
from pipeline_dsl.errors.control import StartedTwice
from pipeline_dsl.source import Span

from .body import Body


def check_once(arm: Body, why: str, place: Span, advice: str) -> None:
    """Every call in an arm that may run again, nested ones and those of inlined pipelines included."""
    for node in ir.walk(arm.nodes):
        if isinstance(node, ir.Call) and arm.shared.stages[node.stage].contract.effects == "once":
            arm.report(StartedTwice(node.span or place, node.stage, why, place, advice))
