"""`pipectl plan`: how a file would run on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.console import common
from pipectl.options import device, pipe_file, schedule

if TYPE_CHECKING:
    from pipeline_dsl.plan import DeviceOverride, Plan


@click.command("plan")
@pipe_file
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "html")),
    help="html: one page with pictures, light and dark. Default: by the ending of -o, else text.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write to.")
@click.option("--offline", is_flag=True, help="For any machine: devices need not be here.")
@schedule
@device
@common
def command(
    file: str,
    form: str | None,
    output: Path | None,
    offline: bool,
    profile: str | None,
    params: dict[str, str],
    device: DeviceOverride,
) -> None:
    """Show how a file would run on this machine.

    Stages with their instances and batching, steps in order with levels, runs and streams, copies with their
    bytes, and what each setting came from. Opens no models."""
    from pipectl.compiling import options
    from pipectl.hardware import probe
    from pipeline_dsl.compile import compile_path
    from pipeline_dsl.plan_text import plan_text

    plan = compile_path(file, options(profile, params, device=device), None if offline else probe())
    if form is None:
        form = "html" if output is not None and output.suffix.lower() in (".html", ".htm") else "text"
    text = _page(plan) if form == "html" else plan_text(plan)
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        output.write_text(text, encoding="utf-8")


def _page(plan: Plan) -> str:
    from pipeline_dsl.plan_html import plan_page

    return plan_page(plan)
