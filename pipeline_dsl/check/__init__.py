"""Is this program right? `syntax.Module` -> `ir.Program`, or every mistake in the sink.

    resolve (names, values, stages) -> flow (each pipeline's graph) -> schedule (profiles) -> unused names

Nothing stops at a mistake; what follows from one is not reported again. User code is never imported.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.source import Span

from .facts import Facts
from .flow import Graphs
from .options import FileLoader, Loader, Options, TextLoader
from .placement import check_override
from .profiles import schedule_of
from .programs import program_of
from .resolve import resolve
from .scope import PipelineBinding, Scope
from .unused import report_unused

__all__ = ["FileLoader", "Findings", "Loader", "Options", "TextLoader", "check", "examine"]


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of a main file, right or wrong."""

    program: ir.Program | None
    """None if the sink holds errors."""
    scope: Scope
    facts: Facts


def check(module: syntax.Module, options: Options, sink: Sink) -> ir.Program | None:
    """The checked program of a main file; None if the sink holds errors."""
    return examine(module, options, sink).program


def examine(module: syntax.Module, options: Options, sink: Sink) -> Findings:
    """`check` that also gives what the names of a file turned out to be: what an editor shows of a file with mistakes.

    Unused declarations are told only where there is no error; what uses them may be what is wrong."""
    scope = resolve(module, options, sink)
    typed = Graphs(sink)
    graphs = _graphs(scope, typed)
    schedule = schedule_of(scope, graphs, options.profile, sink)
    check_override(options, Span(module.source, 0, 0), sink)
    program = None
    if not sink.has_errors:
        report_unused(scope, sink)
        program = program_of(scope, graphs, schedule)
    return Findings(program, scope, typed.facts)


def _graphs(scope: Scope, graphs: Graphs) -> dict[str, ir.Graph]:
    """The graphs of the main file's public pipelines; private ones are checked as well."""
    found: dict[str, ir.Graph] = {}
    for name, binding in scope.names.items():
        if isinstance(binding, PipelineBinding):
            graph = graphs.of(binding)
            if graph is not None and not binding.decl.private:
                found[name] = graph
    return found
