"""`pipectl import`: other systems' configurations as a .pipe file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipectl.console import Exit, Session, common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipectl.interop.remarks import Remark
    from pipeline_dsl import syntax

_output = click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE", help="Write here instead of to stdout."
)


@click.group("import", context_settings={"help_option_names": ["-h", "--help"]})
@common
def command() -> None:
    """Make a .pipe file of what another system was told.

    What has no equal is listed on stderr.
    """


@command.command("triton")
@click.argument("folder", type=click.Path(), metavar="DIR")
@_output
@common
@click.pass_obj
def triton(session: Session, folder: str, output: str | None) -> Exit:
    """From a Triton model repository.

    Each config.pbtxt becomes a stage, each ensemble a pipeline, their schedule `profile triton`. What only Triton
    knows is kept in `triton { }` blocks, and `pipectl export triton` writes it again. Paths of models are relative
    to FILE, or to the current folder.
    """
    from pipectl.interop.libraries import needed

    with needed("google", "protobuf"):
        from pipectl.interop.triton.importing import imported
        from pipectl.interop.triton.repository import read_repository
    result = imported(read_repository(folder, Path(output).parent if output else "."))
    return _written(session, result.module, result.remarks, output)


@command.command("kserve")
@click.argument("file", type=click.Path(), metavar="FILE")
@_output
@common
@click.pass_obj
def kserve(session: Session, file: str, output: str | None) -> Exit:
    """From KServe InferenceGraphs in a YAML file.

    Each service becomes a `remote` stage, each node a pipeline: Sequence is calls, Switch `if`, Ensemble calls side
    by side, Splitter `route`; a soft dependency is a `try`.
    """
    from pipectl.interop.libraries import needed

    with needed("yaml", "pyyaml"):
        from pipectl.interop.kserve.importing import imported
        from pipectl.interop.kserve.reading import read_graphs
    module, remarks = imported(read_graphs(Path(file)))
    return _written(session, module, remarks, output)


def _written(session: Session, module: syntax.Module, remarks: Sequence[Remark], output: str | None) -> Exit:
    from pipectl.interop.remarks import listed
    from pipectl.replace import replace_text
    from pipeline_dsl.unparse import to_text

    text = to_text(module)
    if output:
        replace_text(Path(output), text)
    else:
        sys.stdout.write(text)
    sys.stderr.write(listed(remarks))
    return Exit.OK
