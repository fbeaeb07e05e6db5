"""`pipectl lsp`: the language server, for editors."""

from __future__ import annotations

import sys

import click

from pipectl.console import Exit, Session, common
from pipectl.errors import OptionError


@click.command("lsp")
@click.option("--stdio", is_flag=True, help="What it does anyway; editors like to say it.")
@common
@click.pass_obj
def command(session: Session, stdio: bool) -> Exit:
    """Serve an editor over stdin and stdout.

    The editor starts it; docs/editors.md says how. Nothing is logged to stdout, failures go to stderr.
    """
    if sys.stdin.isatty():
        raise click.UsageError("an editor starts this command; it speaks the Language Server Protocol, not to people")
    _serve()
    return Exit.OK


def _serve() -> None:
    try:
        from pipectl.lsp.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise OptionError("the language server needs pygls", "pip install 'pipectl[lsp]'") from None
    serve()
