"""`pipectl breaking`: what a change of a file breaks for those who call its pipelines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.commands.check import FORMATS, shown
from pipectl.console import Exit, Session, common
from pipectl.options import pipe_file

if TYPE_CHECKING:
    from pipeline_dsl import syntax
    from pipeline_dsl.breaking import Endpoint
    from pipeline_dsl.check import Options
    from pipeline_dsl.source import Source


@click.command("breaking")
@pipe_file
@click.option("--against", required=True, metavar="REV|FILE", help="A revision of git, or the old file.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="How to show what breaks.")
@common
@click.pass_obj
def command(session: Session, file: str, against: str, form: str) -> Exit:
    """Find what a change breaks for callers.

    The public pipelines of FILE are compared with those of an older version of it. Exit code 1 if old clients would
    notice: a pipeline or port is gone, takes less than before, must be given now, or gives something else.
    """
    from pipeline_dsl.breaking import breaking
    from pipeline_dsl.source import Span

    old, new = _old(Path(file), against), _new(Path(file))
    place = Span(new[0].source, 0, 0)
    found = [b.diagnostic() for b in breaking(old, new[1], place)]
    found.sort(key=lambda d: d.sort_key)
    sys.stdout.write(shown(found, form, session))
    if form == "text" and not found:
        click.echo(f"{file} keeps what {against} promises, pipelines: {len(old)}")
    return Exit.PROBLEMS if found else Exit.OK


def _new(path: Path) -> tuple[syntax.Module, dict[str, Endpoint]]:
    from pipectl.compiling import options
    from pipeline_dsl.read import read

    return _endpoints(read(path), options(None, {}))


def _old(path: Path, against: str) -> dict[str, Endpoint]:
    """Endpoints of the old file: one that exists under this name, else one of a revision."""
    from dataclasses import replace

    from pipectl.compiling import options
    from pipectl.revisions import RevisionLoader, repository_of, revision
    from pipeline_dsl.read import read

    chosen = options(None, {})
    if Path(against).is_file():
        return _endpoints(read(against), chosen)[1]
    loader = RevisionLoader(repository_of(path), revision(against))
    return _endpoints(loader.source(path), replace(chosen, loader=loader))[1]


def _endpoints(source: Source, options: Options) -> tuple[syntax.Module, dict[str, Endpoint]]:
    """Endpoints of a text. CompileError if a signature of it is wrong."""
    from pipeline_dsl.check.artifacts import LOCK_CODES
    from pipeline_dsl.check.endpoints import endpoints_of
    from pipeline_dsl.diagnostics import CompileError, Sink
    from pipeline_dsl.parse import parse

    sink = Sink()
    module = parse(source, sink)
    found = endpoints_of(module, options, sink)
    if any(d.code not in LOCK_CODES for d in sink.errors):
        raise CompileError(sink.sorted())
    return module, found
