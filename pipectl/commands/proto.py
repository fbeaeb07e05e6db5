"""`pipectl proto`: the typed gRPC services of a file as `.proto` text."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipectl.console import Exit, Session, common
from pipectl.options import pipe_file, schedule, the_one


@click.command("proto")
@pipe_file
@click.option("-p", "--pipeline", metavar="NAME", help="Which pipeline; needed if the file has several.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write pipectl/NAME.proto of every pipeline, and what they share, below this folder.",
)
@schedule
@common
@click.pass_obj
def command(
    session: Session,
    /,
    file: str,
    pipeline: str | None,
    output: Path | None,
    profile: str | None,
    params: dict[str, str],
) -> Exit:
    """Print the typed gRPC service of a pipeline.

    Its messages are made from the pipeline's signature. One with tensors of several dims imports
    pipectl/common/tensors.proto, which --output writes too."""
    from pipectl.app import compile as compile_plan
    from serving.deployment import repeatable
    from serving.typed.schema import COMMON
    from serving.typed.text import COMMON_TEXT, proto_text

    plan = compile_plan(file, profile=profile, params=params)
    if output is None:
        name = the_one(file, list(plan.pipelines), pipeline)
        sys.stdout.write(proto_text(plan.pipelines[name], repeatable(plan, plan.pipelines[name])))
        return Exit.OK
    folder = output / "pipectl"
    (output / COMMON).parent.mkdir(parents=True, exist_ok=True)
    (output / COMMON).write_text(COMMON_TEXT, encoding="utf-8")
    for name, found in plan.pipelines.items():
        if pipeline in (None, name):
            (folder / f"{name}.proto").write_text(proto_text(found, repeatable(plan, found)), encoding="utf-8")
    return Exit.OK
