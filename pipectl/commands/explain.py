"""`pipectl explain E0301`: the page of a diagnostic."""

from __future__ import annotations

import click

from pipectl.console import common


@click.command("explain")
@click.argument("code", required=False)
@common
def command(code: str | None) -> None:
    """Explain a diagnostic by its code.

    Without CODE, list all codes.
    """
    from pipeline_dsl import errors

    if code is None:
        for entry in errors.codes().values():
            click.echo(f"{entry.code}  {entry.title}")
        return
    try:
        click.echo(errors.page(code.upper()).rstrip("\n"))
    except KeyError:
        raise click.BadParameter(_unknown(code, list(errors.codes())), param_hint="CODE") from None


def _unknown(code: str, codes: list[str]) -> str:
    from pipeline_dsl.spell import nearest

    guess = nearest(code.upper(), codes)
    return f"there is no code `{code}`" + (f"; did you mean {guess}?" if guess else "; `pipectl explain` lists all")
