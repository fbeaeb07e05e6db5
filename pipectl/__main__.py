"""The `pipectl` command: `main` maps every outcome to an exit code. Commands are imported when they are
called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword

import click

from ._version import VERSION
from .console import Exit, Session, common

COMMANDS = {
    "check": "Find the mistakes in .pipe files.",
    "plan": "Show how a file would run on this machine.",
    "graph": "Draw a pipeline.",
    "fmt": "Format .pipe files.",
    "run": "Answer requests with a pipeline.",
    "serve": "Serve pipelines to clients.",
    "infer": "Ask a running server.",
    "proto": "Print the typed gRPC service of a pipeline.",
    "test": "Run the golden cases of .pipe files.",
    "record": "Keep one request and its tensors in a file.",
    "replay": "Run a recorded request again and compare.",
    "explain": "Explain a diagnostic by its code.",
    "lsp": "Serve an editor over stdin and stdout.",
    "lock": "Write down what the models of a file are.",
    "breaking": "Find what a change breaks for callers.",
    "import": "Make a .pipe file of what another system was told.",
    "export": "Write a .pipe file as another system's configuration.",
}
"""Name and summary of each command."""


def module_of(name: str) -> str:
    """The module of a command."""
    return f"pipectl.commands.{name}_" if iskeyword(name) else f"pipectl.commands.{name}"


class Lazy(click.Group):
    """A group that imports a command when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(module_of(name)).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """As the base does, but a closed pipe reaches `run`, which knows its exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _Closed from error


class _Closed(Exception):
    """stdout's reader went away."""


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(VERSION, message="pipectl %(version)s")
@common
def cli() -> None:
    """Pipelines of models: check them, plan them, run them."""


def run(args: Sequence[str]) -> int:
    """The exit code of the command; never raises for what a user or a file did."""
    session = Session()
    try:
        code = cli.main(list(args), "pipectl", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return int(code or Exit.OK)
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except (_Closed, BrokenPipeError):
        return _forget_stdout()
    except Exception as error:
        from .failures import report

        return report(error, session)


def _forget_stdout() -> Exit:
    """Python flushes stdout when it ends, which must not fail again."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.BROKEN_PIPE


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
