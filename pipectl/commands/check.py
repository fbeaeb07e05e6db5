"""`pipectl check`: all mistakes of some files, for people, editors and CI."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipectl._version import VERSION
from pipectl.console import Exit, Session, common
from pipectl.options import schedule

if TYPE_CHECKING:
    from pipeline_dsl.check import Options
    from pipeline_dsl.diagnostics import Diagnostic
    from pipeline_dsl.plan import Hardware

FORMATS = ("text", "json", "github", "sarif")


@click.command("check")
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", help="How to show mistakes.")
@click.option("--host", is_flag=True, help="Profiles must find their devices on this machine.")
@schedule
@common
@click.pass_obj
def command(
    session: Session, files: tuple[str, ...], form: str, host: bool, profile: str | None, params: dict[str, str]
) -> Exit:
    """Find the mistakes in .pipe files.

    All of them in one run, with every profile unless one is named. Imports no user code and opens no models.
    Exit code 1 if there is an error; warnings alone give 0.
    """
    found = [d for file in files for d in _check(file, profile, params, host)]
    sys.stdout.write(shown(found, form, session))
    errors = [d for d in found if d.severity == "error"]
    if form == "text" and not found:
        click.echo("no mistakes in " + (files[0] if len(files) == 1 else f"{len(files)} files"))
    return Exit.PROBLEMS if errors else Exit.OK


def _check(file: str, profile: str | None, params: dict[str, str], host: bool) -> list[Diagnostic]:
    from pipectl.compiling import options
    from pipeline_dsl.compile import check_path

    chosen = options(profile, params, hardware=_machine() if host else None)
    _, sink = check_path(file, chosen)
    for diagnostic in _changed(file, chosen):
        sink.add(diagnostic)
    return sink.sorted()


def _changed(file: str, chosen: Options) -> list[Diagnostic]:
    """Artifacts that are not those of the lock file; nothing is opened where there is none."""
    import os
    from pathlib import Path

    from pipeline_dsl.locks import SUFFIX

    if not os.path.isfile(f"{file}{SUFFIX}"):  # False for a path that can not be, too
        return []
    from pipectl.locking import changed

    return changed(Path(file), chosen)


def _machine() -> Hardware:
    from pipectl.hardware import probe

    return probe()


def shown(found: list[Diagnostic], form: str, session: Session) -> str:
    """Diagnostics in one of the forms."""
    from pipeline_dsl import render

    forms: dict[str, Callable[[], str]] = {
        "text": lambda: render.text(found, colour=session.paints(sys.stdout)),
        "json": lambda: render.json(found),
        "github": lambda: render.github(found),
        "sarif": lambda: render.sarif(found, version=VERSION),
    }
    return forms[form]()
