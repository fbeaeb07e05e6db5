"""One scope a file, with every name of the file in it; what the names stand for is made later (E0104, E0107)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.errors.names import DuplicateName
from pipeline_dsl.source import Span

from .load import Importing, Loaded
from .lookup import of_module
from .options import Options
from .scope import ErrorBinding, Imported, ModuleBinding, Pending, ProfileBinding, Scope


def declare_all(main: syntax.Module, loaded: Loaded, options: Options, sink: Sink) -> dict[str, Scope]:
    """A scope for each file, with all its names entered."""
    prefixes = _prefixes(main, loaded)
    scopes: dict[str, Scope] = {}
    for path, module in loaded.modules.items():
        scopes[path] = scope = Scope(module, options, prefixes[path])
        for decl in module.decls:
            _declare(decl, scope, loaded, scopes, sink)
    return scopes


def _prefixes(main: syntax.Module, loaded: Loaded) -> dict[str, str]:
    """What stands in front of the stage names of each file: the name it is imported by, the main file's first;
    the file's own name where only single names are imported."""
    found = {main.source.path: ""}
    taken: set[str] = set()
    todo = [main]
    while todo:
        module = todo.pop(0)
        outer = found[module.source.path]
        for decl in sorted(_importing(module), key=lambda d: isinstance(d, syntax.FromImport)):
            path = loaded.targets.get(id(decl))
            if path is None or path in found:
                continue
            name = decl.name.text if isinstance(decl, syntax.Import) else _stem(path)
            found[path] = _free(f"{outer}.{name}" if outer else name, taken)
            todo.append(loaded.modules[path])
    return found


def _importing(module: syntax.Module) -> list[Importing]:
    return [d for d in module.decls if isinstance(d, Importing)]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _free(name: str, taken: set[str]) -> str:
    number, result = 2, name
    while result in taken:
        number, result = number + 1, f"{name}_{number}"
    taken.add(result)
    return result


def _declare(decl: syntax.Decl, scope: Scope, loaded: Loaded, scopes: Mapping[str, Scope], sink: Sink) -> None:
    match decl:
        case syntax.FromImport(items=items):
            path = loaded.targets.get(id(decl))
            for item in items:
                _enter(item.alias or item.name, _from_import(decl, item, path, scopes, sink), scope, sink)
        case syntax.Import(name=name):
            path = loaded.targets.get(id(decl))
            found = ErrorBinding(decl) if path is None else ModuleBinding(name.text, scopes[path], decl)
            _enter(name, found, scope, sink)
        case syntax.Profile(name=name):
            first = scope.profiles.setdefault(name.text, ProfileBinding(name.text, decl))
            if first.decl is not decl:
                sink.add(DuplicateName(name.span, name.text, first.decl.name.span).diagnostic())
        case _:
            _enter(decl.name, Pending(decl), scope, sink)


def _from_import(
    decl: syntax.FromImport,
    item: syntax.ImportItem,
    path: str | None,
    scopes: Mapping[str, Scope],
    sink: Sink,
) -> Imported | ErrorBinding:
    if path is None or of_module(scopes[path], item.name, decl.path, sink) is None:
        return ErrorBinding(decl)
    return Imported(scopes[path], item.name.text, decl, item)


def _enter(
    name: syntax.Ident, found: Pending | Imported | ModuleBinding | ErrorBinding, scope: Scope, sink: Sink
) -> None:
    """The first of two declarations keeps the name."""
    if name.text in DTYPES and isinstance(found, Pending) and isinstance(found.decl, syntax.TypeAlias):
        sink.add(DuplicateName(name.span, name.text, None).diagnostic())
    elif name.text in scope.names:
        first = _declared_at(scope.names[name.text], name.text)
        sink.add(DuplicateName(name.span, name.text, first).diagnostic())
    else:
        scope.names[name.text] = found


def _declared_at(found: object, name: str) -> Span:
    decl = getattr(found, "decl")  # noqa: B009 -- every binding has one
    if isinstance(decl, syntax.FromImport):
        names = [i.alias or i.name for i in decl.items]
        return next((n.span for n in names if n.text == name), decl.span)
    span: Span = decl.name.span
    return span
