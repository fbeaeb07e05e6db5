"""`pipectl test`: golden cases beside a pipeline, run for real."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipectl.console import Exit, Session, common
from pipectl.options import device, schedule, serial

if TYPE_CHECKING:
    from pipectl.cases.run import Prepared, Verdict
    from pipeline_dsl.plan import Plan


@click.command("test")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--cases",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The cases, if not those in `NAME.test.toml` beside `NAME.pipe`.",
)
@click.option("-k", "--only", metavar="TEXT", default="", help="Cases with this text in their name.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="How to show verdicts.")
@schedule
@device
@serial
@common
@click.pass_obj
def command(
    session: Session,
    /,
    files: tuple[Path, ...],
    cases: Path | None,
    only: str,
    form: str,
    profile: str | None,
    params: dict[str, str],
    **placed: Any,
) -> Exit:
    """Run the golden cases of .pipe files.

    A case has inputs and what must come out of them: outputs within a tolerance, outputs of single nodes, or an
    error. Profile and params of the command go before those of the file of cases. Exit code 1 if a case fails.
    """
    if cases is not None and len(files) > 1:
        raise click.UsageError("--cases is for one FILE")
    verdicts = [v for file in files for v in _verdicts(file, cases, only, profile, params, placed)]
    if not verdicts:
        raise click.UsageError(f"no case has `{only}` in its name" if only else "there are no cases")
    sys.stdout.write(_json(verdicts) if form == "json" else _text(verdicts, session))
    return Exit.PROBLEMS if any(v.mistakes for _, v in verdicts) else Exit.OK


def _verdicts(
    file: Path, cases: Path | None, only: str, profile: str | None, params: dict[str, str], placed: dict[str, Any]
) -> list[tuple[Path, Verdict]]:
    from executor.tap import Tap
    from pipectl.app import compile, load  # noqa: A004 - the public name
    from pipectl.cases.file import beside, read
    from pipectl.cases.run import prepare, run

    path = cases or beside(file)
    suite = read(path)
    plan = compile(file, profile=profile or suite.profile, params={**suite.params, **params}, **placed)
    prepared = [p for p in prepare(suite, path, dict(plan.pipelines)) if only in p.name]
    if not prepared:
        return []
    tap = Tap()
    with load(_needed(plan, prepared), tap=tap) as app:
        return [(file, verdict) for verdict in run(app, tap, prepared, path.parent)]


def _needed(plan: Plan, prepared: Sequence[Prepared]) -> Plan:
    """The plan without pipelines that no case asks."""
    names = {p.pipeline.name for p in prepared}
    return replace(plan, pipelines={name: p for name, p in plan.pipelines.items() if name in names})


def _text(verdicts: Sequence[tuple[Path, Verdict]], session: Session) -> str:
    lines: list[str] = []
    colour = session.paints(sys.stdout)
    for file, verdict in verdicts:
        word, shade = ("FAIL", "red") if verdict.mistakes else ("ok", "green")
        head = click.style(f"{word:4}", fg=shade, bold=True) if colour else f"{word:4}"
        lines.append(f"{head}  {file}: {verdict.name}  ({verdict.seconds * 1e3:.0f} ms)")
        lines += (f"      {mistake}" for mistake in verdict.mistakes)
    failed = sum(bool(v.mistakes) for _, v in verdicts)
    lines.append(f"{len(verdicts) - failed} passed" + (f", {failed} failed" if failed else ""))
    return "\n".join(lines) + "\n"


def _json(verdicts: Sequence[tuple[Path, Verdict]]) -> str:
    from pipectl.encode import to_line

    found: list[dict[str, Any]] = [
        {
            "file": str(file),
            "case": v.name,
            "pipeline": v.pipeline,
            "passed": not v.mistakes,
            "mistakes": list(v.mistakes),
            "seconds": v.seconds,
        }
        for file, v in verdicts
    ]
    return "".join(to_line(one) + "\n" for one in found)
