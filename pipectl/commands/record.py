"""`pipectl record`: one request, and what went through every call of it, into a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.console import Exit, Session, common
from pipectl.errors import OptionError
from pipectl.options import pipe_file, schedule, seconds, the_one

if TYPE_CHECKING:
    from pipectl.inputs import Ask
    from pipectl.records.record import Record
    from pipeline_dsl.plan import Plan


@click.command("record")
@pipe_file
@click.option("-p", "--pipeline", metavar="NAME", help="Which pipeline; needed if the file has several.")
@schedule
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="As `pipectl run` takes it.")
@click.option("--timeout", callback=seconds, metavar="TIME", help="Of the request: 0.2, 200ms.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    metavar="FILE",
    help="An .npz file.",
)
@common
@click.pass_obj
def command(
    session: Session,
    file: str,
    pipeline: str | None,
    profile: str | None,
    params: dict[str, str],
    inputs: tuple[str, ...],
    timeout: float | None,
    output: Path,
) -> Exit:
    """Keep one request and its tensors in a file.

    A request that fails is kept as well, up to the call at fault. `pipectl replay` runs the file again.
    """
    from pipectl.app import compile  # noqa: A004 - the public name
    from pipectl.inputs import from_options
    from pipectl.outputs import check_folder

    check_folder(output)
    plan = compile(file, profile=profile, params=params)
    name = the_one(file, list(plan.pipelines), pipeline)
    asks = list(from_options(plan.pipelines[name], inputs).asks)
    if len(asks) != 1:
        raise OptionError(f"the inputs make {len(asks)} requests", "give one value for each input")
    if asks[0].error:
        raise OptionError(asks[0].error)
    record = _taken(plan, name, asks[0], timeout)
    _write(record, output)
    nodes = len({step.node for step in record.steps})
    sys.stdout.write(f"{output}: {name}, {len(record.steps)} values of {nodes} calls\n")
    if record.error:
        session.warn(f"the request failed: {record.error}")
        return Exit.RUNTIME
    return Exit.OK


def _taken(plan: Plan, name: str, ask: Ask, timeout: float | None) -> Record:
    from executor.errors import RequestError
    from executor.tap import Tap
    from pipectl.app import load
    from pipectl.records.record import Record, error_text, step_of

    tap = Tap()
    error, outputs = "", {}
    with load(plan, tap=tap) as app:
        try:
            outputs = app[name].whole(ask.inputs, id=ask.id, timeout=timeout)
        except RequestError as failed:
            error = error_text(failed)
    return Record(name, plan.digest, ask.inputs, outputs, error, tuple(map(step_of, tap.visits(ask.id))))


def _write(record: Record, path: Path) -> None:
    from pipectl.records.record import write

    write(record, path)
