"""`pipectl export`: a .pipe file as another system's configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.console import Exit, Session, common
from pipectl.options import pipe_file, schedule, the_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline_dsl import ir, syntax
    from pipeline_dsl.errors.exporting import NoEqual

PROFILE = "triton"
"""The profile that is used where none is named and the file has it."""


@click.group("export", context_settings={"help_option_names": ["-h", "--help"]})
@common
def command() -> None:
    """Write a .pipe file as another system's configuration."""


@command.command("triton")
@pipe_file
@click.argument("folder", type=click.Path(), metavar="DIR")
@click.option("-p", "--pipeline", metavar="NAME", help="Only this pipeline and its stages; otherwise everything.")
@click.option(
    "--artifacts",
    type=click.Choice(["copy", "link", "none"]),
    default="copy",
    help="Copy the models' files, link to them, or write configurations only.",
)
@schedule
@common
@click.pass_obj
def triton(
    session: Session,
    file: str,
    folder: str,
    pipeline: str | None,
    artifacts: str,
    profile: str | None,
    params: dict[str, str],
) -> Exit:
    """As a Triton model repository in the folder DIR.

    A pipeline becomes an ensemble, a stage a model. `profile triton` is used unless another is named. Exit code 2
    if something has no equal in Triton: each such place is shown, and nothing is written.
    """
    from pipectl.interop.libraries import needed
    from pipectl.interop.remarks import listed

    with needed("google", "protobuf"):
        from pipectl.interop.triton.bundle import write_repository
        from pipectl.interop.triton.exporting import exported
    module = _module(file)
    chosen = _chosen(file, module, pipeline)
    reasons = _control(module, chosen)
    if reasons:
        return _refused(session, reasons)
    repository = exported(_program(module, profile, params), None if pipeline is None else chosen)
    if repository.reasons:
        return _refused(session, repository.reasons)
    write_repository(repository, Path(folder), artifacts)  # type: ignore[arg-type]  # click has checked the word
    sys.stderr.write(listed(repository.remarks))
    click.echo(f"{len(repository.entries)} models in {folder}")
    return Exit.OK


def _module(file: str) -> syntax.Module:
    from pipeline_dsl.diagnostics import CompileError, Sink
    from pipeline_dsl.parse import parse
    from pipeline_dsl.read import read

    sink = Sink()
    module = parse(read(file), sink)
    if sink.has_errors:
        raise CompileError(sink.sorted())
    return module


def _chosen(file: str, module: syntax.Module, wanted: str | None) -> list[str]:
    from pipeline_dsl import syntax

    names = [d.name.text for d in module.decls if isinstance(d, syntax.Pipeline) and not d.private]
    return names if wanted is None else [the_one(file, names, wanted)]


def _control(module: syntax.Module, chosen: Sequence[str]) -> list[NoEqual]:
    """What no ensemble can do is seen before the file is checked."""
    from pipectl.interop.triton.graphs import control_reasons
    from pipeline_dsl import syntax

    pipelines = [d for d in module.decls if isinstance(d, syntax.Pipeline) and d.name.text in chosen]
    return [reason for pipeline in pipelines for reason in control_reasons(pipeline)]


def _program(module: syntax.Module, profile: str | None, params: dict[str, str]) -> ir.Program:
    from pipectl.compiling import options
    from pipeline_dsl import syntax
    from pipeline_dsl.compile import check_module
    from pipeline_dsl.diagnostics import CompileError

    profiles = {d.name.text for d in module.decls if isinstance(d, syntax.Profile)}
    used = profile or (PROFILE if PROFILE in profiles else None)
    program, sink = check_module(module, options(used, params))
    if program is None:
        raise CompileError(sink.sorted())
    return program


def _refused(session: Session, reasons: Sequence[NoEqual]) -> Exit:
    from pipeline_dsl import render

    found = sorted((r.diagnostic() for r in reasons), key=lambda d: d.sort_key)
    sys.stderr.write(render.text(found, colour=session.paints(sys.stderr)))
    return Exit.USAGE
