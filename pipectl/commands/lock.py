"""`pipectl lock`: what the artifacts of a file are, written down beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pipectl.console import Exit, Session, common
from pipectl.options import pipe_file, schedule


@click.command("lock")
@pipe_file
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if the lock file would change.")
@schedule
@common
@click.pass_obj
def command(session: Session, file: str, check: bool, profile: str | None, params: dict[str, str]) -> Exit:
    """Write down what the models of a file are.

    FILE.lock gets tensors and digests of the artifacts of FILE. `check` then knows what is in the models without
    opening them: a stage may leave its signature out, and one that disagrees is an error. Opens models; runs none,
    and imports no user code.
    """
    from pipectl.compiling import options
    from pipectl.locking import locked
    from pipectl.replace import replace_text
    from pipeline_dsl.locks import SUFFIX, text_of

    lock = locked(Path(file), options(profile, params))
    path, text = Path(f"{file}{SUFFIX}"), text_of(lock)
    same = path.is_file() and path.read_bytes() == text.encode()
    if check:
        sys.stderr.write("" if same else f"{path} is not up to date\n")
        return Exit.OK if same else Exit.PROBLEMS
    if not same:
        replace_text(path, text)
    files = sum(len(stage.artifacts) for stage in lock.stages.values())
    click.echo(f"{path}: {len(lock.stages)} stages, {files} files" + (", as before" if same else ""))
    return Exit.OK
