"""`pipectl plan`: how a file would run on this machine."""

from __future__ import annotations

import click

from pipectl.console import common
from pipectl.options import pipe_file, schedule


@click.command("plan")
@pipe_file
@click.option("--offline", is_flag=True, help="For any machine: devices need not be here.")
@schedule
@common
def command(file: str, offline: bool, profile: str | None, params: dict[str, str]) -> None:
    """Show how a file would run on this machine.

    Stages with their instances and batching, steps in order with levels and runs, copies with their bytes,
    and what each setting came from. Opens no models."""
    from pipectl.compiling import options
    from pipectl.hardware import probe
    from pipeline_dsl.compile import compile_path
    from pipeline_dsl.plan_text import plan_text

    plan = compile_path(file, options(profile, params), None if offline else probe())
    click.echo(plan_text(plan).rstrip("\n"))
