"""Short forms for tests of the checker: texts in, scopes, programs and codes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline_dsl import ir
from pipeline_dsl.check import Options, TextLoader, check
from pipeline_dsl.check.resolve import resolve
from pipeline_dsl.check.scope import Scope, ValueBinding
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source

BARE = Options(environ={}, loader=TextLoader({}))


def options(files: Mapping[str, str] | None = None, **more: object) -> Options:
    """Options that see neither the machine's environment nor its files."""
    return replace(BARE, loader=TextLoader(files or {}), **more)  # type: ignore[arg-type]  # fields by name


def scope_of(text: str, given: Options = BARE) -> tuple[Scope, Sink]:
    """The resolved names of a text called `main.pipe`."""
    sink = Sink()
    module = parse(Source("main.pipe", f"pipe 1\n{text}"), sink)
    assert not sink.found, sink.sorted()
    return resolve(module, given, sink), sink


def program_of(text: str, given: Options = BARE) -> tuple[ir.Program | None, list[str]]:
    """The program, and the codes of everything that is said about it."""
    sink = Sink()
    module = parse(Source("main.pipe", f"pipe 1\n{text}"), sink)
    assert not sink.found, sink.sorted()
    return check(module, given, sink), [d.code for d in sink.sorted()]


def good(text: str, given: Options = BARE) -> ir.Program:
    """The program of a text without errors."""
    program, codes = program_of(text, given)
    assert program is not None, codes
    return program


def codes_of(text: str, given: Options = BARE) -> list[str]:
    """Codes of the errors in a text's names, values and stages, in order."""
    return [d.code for d in scope_of(text, given)[1].errors]


def value(text: str, name: str = "X", given: Options = BARE) -> object:
    """The value of a const or param."""
    scope, sink = scope_of(text, given)
    found = scope.lookup(name)
    assert isinstance(found, ValueBinding), [d.message for d in sink.sorted()]
    return found.value
