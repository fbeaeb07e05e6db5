"""How the command speaks: exit codes, colour or not, problems on stderr.

Everything here is small and imports nothing heavy; `--help` must stay fast.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, TextIO, TypeVar

import click

ColorChoice = Literal["auto", "always", "never"]


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    PROBLEMS = 1
    """Problems were found in a `.pipe` file."""
    USAGE = 2
    LOAD = 3
    """A file did not compile, or a stage did not load."""
    RUNTIME = 4
    """A request failed."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    """The reader of stdout went away."""
    TERMINATED = 143


@dataclass(slots=True)
class Session:
    """What holds for one run of the command; the `obj` of its click contexts."""

    color: ColorChoice = "auto"
    debug: bool = False

    def paints(self, stream: TextIO) -> bool:
        """Whether what goes to `stream` is coloured."""
        return use_color(stream, self.color)

    def problem(self, message: str, hint: str = "") -> None:
        """An error that has no place in a `.pipe` file, on stderr."""
        self._say("error", "red", message)
        if hint:
            self._say("help", "cyan", hint)

    def warn(self, message: str) -> None:
        self._say("warning", "yellow", message)

    def _say(self, word: str, color: str, text: str) -> None:
        if self.paints(sys.stderr):
            word = click.style(word, fg=color, bold=True)
        sys.stderr.write(f"{word}: {text}\n")


def use_color(stream: TextIO, choice: ColorChoice = "auto") -> bool:
    """The flag decides, else NO_COLOR, else FORCE_COLOR, else whether `stream` is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


Command = TypeVar("Command", bound=Callable[..., Any])


def common(command: Command) -> Command:
    """Options that the group and every command take: `--color` and `--debug`."""
    command = click.option(
        "--debug",
        is_flag=True,
        default=None,
        expose_value=False,
        callback=_remember,
        help="Show the traceback of a failure.",
    )(command)
    return click.option(
        "--color",
        type=click.Choice(["auto", "always", "never"]),
        expose_value=False,
        callback=_remember,
        help="Colour the output. auto: on a terminal, unless NO_COLOR is set; FORCE_COLOR forces it.",
    )(command)


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    session = context.ensure_object(Session)
    if value is not None and option.name:
        setattr(session, option.name, value)
