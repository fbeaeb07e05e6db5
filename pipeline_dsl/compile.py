"""The driver: a file, a text or a built module -> a `Plan`, or all its mistakes at once.

    read -> parse -> check -> passes -> planning

`check_*` stop after the checker and give what they found; `compile_*` raise `CompileError` with every diagnostic, or
go on to the plan. Nothing here opens a model or imports user code.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from . import ir, passes, planning, syntax
from .check import Findings, Options, check, examine
from .collector import paused
from .diagnostics import CompileError, Sink
from .parse import parse
from .plan import Hardware, Plan
from .read import read
from .source import Source
from .verify import verify as verify_graph

Checked = tuple[ir.Program | None, Sink]
"""The program, None if it has errors; and all diagnostics, warnings too."""

FOLLOW_UPS = frozenset({"E0103", "E0105", "E0106", "E0205", "E0206", "E0601", "E0602", "W0201"})
"""What may only be said of a text that was read whole: a name is unknown, unused or not returned also when the line
that declares, uses or returns it has a syntax error."""


def check_path(path: str | Path, options: Options | None = None) -> Checked:
    """Checks a file. One that can not be read is a diagnostic too."""
    try:
        source = read(path)
    except CompileError as error:
        sink = Sink()
        for diagnostic in error.diagnostics:
            sink.add(diagnostic)
        return None, sink
    return check_source(source, options)


def check_text(text: str, options: Options | None = None, path: str = "<text>") -> Checked:
    """Checks a text; `path` is what messages show and what relative paths start from."""
    return check_source(Source(path, text), options)


def check_source(source: Source, options: Options | None = None) -> Checked:
    """Checks a text with its path. What could be read of a text with syntax errors is checked as well."""
    findings, sink = examine_source(source, options)
    return findings.program, sink


@paused()
def examine_source(source: Source, options: Options | None = None) -> tuple[Findings, Sink]:
    """`check_source` that also gives what the names of the text turned out to be, for editors."""
    sink = Sink()
    module = parse(source, sink)
    if not sink.has_errors:
        return examine(module, options or Options(), sink), sink
    further = Sink()
    findings = examine(module, options or Options(), further)
    for diagnostic in further.found.values():
        if diagnostic.code not in FOLLOW_UPS:
            sink.add(diagnostic)
    return replace(findings, program=None), sink


@paused()
def check_module(module: syntax.Module, options: Options | None = None) -> Checked:
    """Checks a module, parsed or built."""
    sink = Sink()
    return check(module, options or Options(), sink), sink


@paused()
def compile_path(path: str | Path, options: Options | None = None, hardware: Hardware | None = None) -> Plan:
    """The plan of a file for a machine, or for one core. CompileError if it has mistakes or can not be read."""
    return _planned(check_path(path, _on(hardware, options)), hardware, options)


@paused()
def compile_text(
    text: str, options: Options | None = None, hardware: Hardware | None = None, path: str = "<text>"
) -> Plan:
    """The plan of a text. CompileError if it has mistakes."""
    return _planned(check_text(text, _on(hardware, options), path), hardware, options)


@paused()
def compile_module(module: syntax.Module, options: Options | None = None, hardware: Hardware | None = None) -> Plan:
    """The plan of a module, parsed or built. CompileError if it has mistakes."""
    return _planned(check_module(module, _on(hardware, options)), hardware, options)


def optimized(program: ir.Program, *, verify: bool = False) -> ir.Program:
    """The program after all passes; `verify` proves after each that the graph still holds together."""
    context = passes.Context(program.stages)
    proof = partial(verify_graph, stages=program.stages) if verify else None
    graphs = {name: passes.run(graph, context, verify=proof) for name, graph in program.pipelines.items()}
    return replace(program, pipelines=graphs)


def _on(hardware: Hardware | None, options: Options | None) -> Options:
    """The options with the machine to check for. Only a selected profile must fit it; others may be for another."""
    given = options or Options()
    asks = given.profile is not None or given.device
    return given if hardware is None or not asks else replace(given, hardware=hardware)


def _planned(checked: Checked, hardware: Hardware | None, options: Options | None) -> Plan:
    given = options or Options()
    program, sink = checked
    if program is None or sink.has_errors:
        raise CompileError(sink.sorted())
    return planning.build(optimized(program), hardware or Hardware(), given.device, serial=given.serial)
