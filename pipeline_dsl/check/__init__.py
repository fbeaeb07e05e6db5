"""Is this program right? `syntax.Module` -> `ir.Program`, or every mistake in the sink.

    resolve (names, values, stages) -> flow (each pipeline's graph) -> schedule (profiles) -> unused names

Nothing stops at a mistake; what follows from one is not reported again. User code is never imported.
"""

from __future__ import annotations

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink

from .flow import Graphs
from .options import FileLoader, Loader, Options, TextLoader
from .profiles import schedule_of
from .programs import program_of
from .resolve import resolve
from .scope import PipelineBinding, Scope
from .unused import report_unused

__all__ = ["FileLoader", "Loader", "Options", "TextLoader", "check"]


def check(module: syntax.Module, options: Options, sink: Sink) -> ir.Program | None:
    """The checked program of a main file; None if the sink holds errors.

    Unused declarations are told only then: what uses them may be what is wrong."""
    scope = resolve(module, options, sink)
    graphs = _graphs(scope, sink)
    schedule = schedule_of(scope, graphs, options.profile, sink)
    if sink.has_errors:
        return None
    report_unused(scope, sink)
    return program_of(scope, graphs, schedule)


def _graphs(scope: Scope, sink: Sink) -> dict[str, ir.Graph]:
    """The graphs of the main file's public pipelines; private ones are checked as well."""
    graphs = Graphs(sink)
    found: dict[str, ir.Graph] = {}
    for name, binding in scope.names.items():
        if isinstance(binding, PipelineBinding):
            graph = graphs.of(binding)
            if graph is not None and not binding.decl.private:
                found[name] = graph
    return found
