"""`pipectl replay`: a recorded request on a program as it is now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.console import Exit, Session, common
from pipectl.options import pipe_file, schedule

if TYPE_CHECKING:
    from pipectl.compare import Tolerance
    from pipectl.records.record import Record, Step
    from pipectl.records.replay import Deviation
    from pipeline_dsl.plan import Plan


@click.command("replay")
@click.argument("record", type=click.Path(dir_okay=False, path_type=Path), metavar="RECORD")
@pipe_file
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Run these calls alone, with what they had then.")
@click.option("--rtol", type=click.FloatRange(0), help="Relative tolerance of floats.")
@click.option("--atol", type=click.FloatRange(0), help="Absolute tolerance of floats.")
@schedule
@common
@click.pass_obj
def command(
    session: Session,
    record: Path,
    file: str,
    nodes: tuple[str, ...],
    rtol: float | None,
    atol: float | None,
    profile: str | None,
    params: dict[str, str],
) -> Exit:
    """Run a recorded request again and compare.

    Says where its tensors differ, in the order of the record. With --node single calls run alone, so that a
    difference is theirs and not that of what comes before them.
    Exit code 1 if anything differs.
    """
    from pipectl.app import compile  # noqa: A004 - the public name
    from pipectl.compare import Tolerance
    from pipectl.records.record import read

    taken = read(record)
    plan = compile(file, profile=profile, params=params)
    tolerance = Tolerance(rtol, atol)
    found = _alone(taken, plan, nodes, tolerance) if nodes else _whole(taken, plan, file, tolerance)
    for deviation in found:
        sys.stdout.write(f"{deviation.place}: {deviation.text}\n")
    if found:
        return Exit.PROBLEMS
    checked = len(nodes) or len({step.node for step in taken.steps})
    sys.stdout.write(f"no difference in {checked} call{'' if checked == 1 else 's'}\n")
    return Exit.OK


def _whole(record: Record, plan: Plan, file: str, tolerance: Tolerance) -> list[Deviation]:
    from executor.tap import Tap
    from pipectl.app import load
    from pipectl.options import the_one
    from pipectl.records.replay import whole

    the_one(file, list(plan.pipelines), record.pipeline)
    tap = Tap()
    with load(plan, tap=tap) as app:
        return list(whole(record, app, tap, tolerance))


def _alone(record: Record, plan: Plan, nodes: tuple[str, ...], tolerance: Tolerance) -> list[Deviation]:
    from pipectl.app import load
    from pipectl.records.replay import alone, plan_of

    steps = [step for name in nodes for step in _steps(record, name)]
    known = {stage.name for stage in plan.stages}
    for step in steps:
        if step.stage not in known:
            raise click.UsageError(f"the program has no stage `{step.stage}` any more; `{step.node}` called it")
    with load(plan_of(plan, [step.stage for step in steps])) as app:
        return [deviation for step in steps for deviation in alone(step, app, tolerance)]


def _steps(record: Record, name: str) -> list[Step]:
    """What a record has of a call, named with or without its pipeline."""
    found = [step for step in record.steps if name in (step.node, step.node.partition(".")[2])]
    if not found:
        names = dict.fromkeys(step.node for step in record.steps)
        raise click.UsageError(f"the record has no call `{name}`, but {', '.join(names) or 'none at all'}")
    return found
