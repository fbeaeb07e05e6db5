"""The public pipelines of a module as clients see them: signatures only, so that bodies need not be checked."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.breaking import Endpoint
from pipeline_dsl.diagnostics import Sink

from .options import Options
from .resolve import resolve
from .scope import PipelineBinding


def endpoints_of(module: syntax.Module, options: Options, sink: Sink) -> dict[str, Endpoint]:
    """Endpoints by name, in order; mistakes in signatures are in the sink."""
    scope = resolve(module, options, sink)
    found = (b for b in scope.names.values() if isinstance(b, PipelineBinding) and not b.decl.private)
    return {b.name: Endpoint(b.name, b.signature, b.decl.name.span, _is_sequence(b.decl)) for b in found}


def _is_sequence(decl: syntax.Pipeline) -> bool:
    return any(isinstance(s, syntax.Nested) and str(s.key) == "sequence" for s in decl.body.statements)
