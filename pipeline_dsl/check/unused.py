"""W0201: declarations that nothing reads.

Only the main file is looked at, and of a file without public pipelines only its imports: the rest of a library is
there for others. Names that begin with `_` are meant to be unused.
"""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import Unused

from .scope import (
    Binding,
    Imported,
    ModuleBinding,
    PipelineBinding,
    Scope,
    StageBinding,
    TypeBinding,
    ValueBinding,
)


def report_unused(scope: Scope, sink: Sink) -> None:
    """Warn of every unused declaration of the main file, in order."""
    library = not any(isinstance(d, syntax.Pipeline) and not d.private for d in scope.module.decls)
    for name, found in scope.names.items():
        if name in scope.used or name.startswith("_"):
            continue
        kind = _kind(found)
        if kind and (not library or kind == "import"):
            sink.add(Unused(_name(found, name).span, kind, name, _help(kind)).diagnostic())


def _kind(found: Binding | Imported) -> str:
    """What it is in a warning; "" for what need not be used."""
    if isinstance(found, Imported | ModuleBinding):
        return "import"
    if isinstance(found, StageBinding):
        return "stage"
    if isinstance(found, TypeBinding):
        return "type"
    if isinstance(found, ValueBinding):
        return "param" if found.is_param else "const"
    if isinstance(found, PipelineBinding) and found.decl.private:
        return "private pipeline"
    return ""


def _name(found: Binding | Imported, name: str) -> syntax.Ident:
    if isinstance(found, Imported):
        return found.item.alias or found.item.name
    decl = found.decl
    return syntax.Ident(name, span=decl.span) if isinstance(decl, syntax.FromImport) else decl.name


def _help(kind: str) -> str:
    return "remove the import" if kind == "import" else "remove it, or begin its name with `_`"
