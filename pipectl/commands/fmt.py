"""`pipectl fmt`: the one layout of `.pipe` files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.console import Exit, Session, common
from pipectl.replace import replace_text

if TYPE_CHECKING:
    from pipeline_dsl.source import Source

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Formatted:
    """One text before and after."""

    path: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        return self.before != self.after


@click.command("fmt")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True), metavar="PATH...")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@common
@click.pass_obj
def command(session: Session, paths: tuple[str, ...], check: bool, diff: bool) -> Exit:
    """Format .pipe files.

    PATH is a file, a folder (all its .pipe files) or - for stdin to stdout. Comments and order are kept.
    """
    texts = [_format(path) for path in _files(paths)]
    for text in texts:
        if diff:
            sys.stdout.write(_diff(text, session.paints(sys.stdout)))
        elif check:
            sys.stderr.write(f"would reformat {text.path}\n" if text.changed else "")
        else:
            _write(text)
    changed = sum(text.changed for text in texts)
    if not diff and STDIN not in paths:
        word = "would be reformatted" if check else "reformatted"
        sys.stderr.write(f"{changed} {word}, {len(texts) - changed} unchanged\n")
    return Exit.PROBLEMS if changed and (check or diff) else Exit.OK


def _files(paths: tuple[str, ...]) -> Iterator[str]:
    """Files of folders in sorted order; each file once."""
    seen: set[str] = set()
    for path in paths:
        inside = sorted(map(str, Path(path).rglob("*.pipe"))) if os.path.isdir(path) else [path]
        for file in inside:
            if file not in seen:
                seen.add(file)
                yield file


def _format(path: str) -> Formatted:
    from pipeline_dsl.format import format_text

    source = _read(path)
    return Formatted(source.path, source.text, format_text(source))


def _read(path: str) -> Source:
    from pipeline_dsl.read import read
    from pipeline_dsl.source import Source

    return Source("<stdin>", sys.stdin.read()) if path == STDIN else read(path)


def _write(text: Formatted) -> None:
    if text.path == "<stdin>":
        sys.stdout.write(text.after)
    elif text.changed:
        replace_text(Path(text.path), text.after)


def _diff(text: Formatted, color: bool) -> str:
    from difflib import unified_diff

    before, after = text.before.splitlines(keepends=True), text.after.splitlines(keepends=True)
    lines = unified_diff(before, after, text.path, f"{text.path} (formatted)")
    ended = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return "".join(_painted(line) if color else line for line in ended)


def _painted(line: str) -> str:
    colors = {"+": "green", "-": "red", "@": "cyan"}
    return click.style(line, fg=colors[line[0]]) if line[0] in colors else line
