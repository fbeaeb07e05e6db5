"""Which files the stages of a module load: known before their signatures are, which may come from these files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.source import Span

from .backends import Using, using_of
from .contracts import contract_of
from .options import Options
from .resolve import resolve
from .scope import Scope, StageBinding

LOCK_CODES = frozenset({"E0310", "E0315", "E0316"})
"""What a new lock file may settle."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a stage. `path` as it is written, `{version}` filled in; relative to `folder`."""

    stage: str
    backend: str
    kind: Literal["model", "code"]
    path: str
    folder: str
    span: Span
    """Where the stage names it."""


def artifacts_of(module: syntax.Module, options: Options, sink: Sink) -> list[Artifact]:
    """The files of the stages that the module itself declares, in order."""
    scope = resolve(module, options, sink)
    stages = (d for d in module.decls if isinstance(d, syntax.Stage))
    return [artifact for decl in stages for artifact in _artifacts(decl, scope)]


def _artifacts(decl: syntax.Stage, scope: Scope) -> Iterator[Artifact]:
    found = scope.lookup(decl.name.text)
    if isinstance(found, StageBinding):
        signature, versions = found.stage.signature, found.stage.contract.versions
        using = using_of(decl.using, signature, scope, Sink())
    else:
        using = using_of(decl.using, ir.Signature((), ()), scope, Sink())
        versions = contract_of(decl, ir.Signature((), ()), using, scope, Sink()).versions
    target = using.arguments.get("artifact")
    if not isinstance(target, str) or not decl.using.args:
        return
    span = decl.using.args[0].span
    if using.spec.artifact == "path":
        for path in dict.fromkeys(_paths(target, versions)):
            yield Artifact(decl.name.text, using.spec.name, "model", path, scope.folder, span)
    elif using.spec.artifact == "function":
        yield Artifact(decl.name.text, using.spec.name, "code", _module(using), scope.folder, span)


def _paths(target: str, versions: tuple[int, ...]) -> list[str]:
    return [target.replace("{version}", str(v)) for v in versions] if versions else [target]


def _module(using: Using) -> str:
    """The file of `pkg.mod:name`; a package is its `__init__.py`, which the reader tries when this is not there."""
    name = str(using.arguments["artifact"]).partition(":")[0]
    return str(PurePath(*name.split("."))) + ".py"
