"""Which pipelines a pipeline calls, as written: the edges along which graphs are put in order."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.source import Span

from .arms import below
from .scope import ModuleBinding, PipelineBinding


def callees(pipeline: PipelineBinding) -> dict[PipelineBinding, Span]:
    """Each pipeline that is called in a body, arms included, and where it is called first."""
    found: dict[PipelineBinding, Span] = {}
    for node in below(pipeline.decl.body):
        if isinstance(node, syntax.Call):
            called = _pipeline(pipeline, node.callee)
            if called is not None:
                found.setdefault(called, node.callee.span)
    return found


def _pipeline(pipeline: PipelineBinding, callee: syntax.Expr) -> PipelineBinding | None:
    scope = pipeline.scope
    if isinstance(callee, syntax.Name):
        found = scope.lookup(callee.text)
    elif isinstance(callee, syntax.Member) and isinstance(callee.value, syntax.Name):
        module = scope.lookup(callee.value.text)
        found = module.scope.lookup(callee.name.text) if isinstance(module, ModuleBinding) else None
    else:
        return None
    return found if isinstance(found, PipelineBinding) else None
