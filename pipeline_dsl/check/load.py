"""The main module and everything it imports: each file once, imports before those that need them.

Paths are relative to the importing file; `@pkg/x.pipe` is looked up in the folders of the search path, `@std/x.pipe`
among the stock modules that come with the language. A file that is missing, unreadable, or part of a cycle is
reported at the import and left out.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import FileUnreadable, ImportCycle, ImportNotFound, ImportTooDeep, NoStockModule
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source

from .options import FileLoader, Options
from .outside import reason

LIMIT = 16
"""Imports of imports of imports .."""

STOCK = "@std/"
STOCK_FOLDER = Path(__file__).parent.parent / "std"
"""Stock modules are part of the compiler: they are found whatever the search path and the loader are."""

Importing = syntax.Import | syntax.FromImport


@dataclass(frozen=True, slots=True)
class Loaded:
    """All modules by path. Imports come before the modules that need them; the main one is last."""

    modules: Mapping[str, syntax.Module]
    targets: Mapping[int, str]
    """Path of the module that an import declaration means, by `id` of the declaration."""


@dataclass(slots=True)
class _State:
    options: Options
    sink: Sink
    modules: dict[str, syntax.Module] = field(default_factory=dict)
    targets: dict[int, str] = field(default_factory=dict)


def load(main: syntax.Module, options: Options, sink: Sink) -> Loaded:
    """The main module and its imports, read and parsed."""
    state = _State(options, sink)
    _imports(main, (identity(main.source.path),), state)
    return Loaded({**state.modules, main.source.path: main}, state.targets)


def identity(path: str) -> str:
    """One spelling for all ways to write a path."""
    return os.path.normpath(path)


def candidates(path: str, importer: str, search_path: tuple[str, ...]) -> tuple[str, ...]:
    """Where an import may be, best first."""
    if path.startswith(STOCK):
        return (str(STOCK_FOLDER / identity(path[len(STOCK) :])),)
    if path.startswith("@"):
        return tuple(identity(os.path.join(folder, path[1:])) for folder in search_path)
    return (identity(os.path.join(os.path.dirname(importer), path)),)


def _imports(module: syntax.Module, chain: tuple[str, ...], state: _State) -> None:
    for decl in module.decls:
        if isinstance(decl, Importing):
            _import(decl, module.source.path, chain, state)


def _import(decl: Importing, importer: str, chain: tuple[str, ...], state: _State) -> None:
    places = candidates(decl.path, importer, state.options.search_path)
    for place in places:
        if place in chain:
            shown = (*chain[chain.index(place) :], place)
            state.sink.add(ImportCycle(decl.path_span, shown).diagnostic())
            return
        if place in state.modules:
            state.targets[id(decl)] = place
            return
    if len(chain) > LIMIT:
        state.sink.add(ImportTooDeep(decl.path_span, LIMIT).diagnostic())
        return
    source = _read(decl, places, state)
    if source is not None:
        module = parse(source, state.sink)
        _imports(module, (*chain, source.path), state)
        state.modules[source.path] = module
        state.targets[id(decl)] = source.path


def _read(decl: Importing, places: tuple[str, ...], state: _State) -> Source | None:
    stock = decl.path.startswith(STOCK)
    loader = FileLoader() if stock else state.options.loader
    for place in places:
        try:
            return loader.read(place)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            state.sink.add(FileUnreadable(decl.path_span, place, reason(error)).diagnostic())
            return None
    missing = NoStockModule(decl.path_span, decl.path, stock_modules()) if stock else None
    state.sink.add((missing or ImportNotFound(decl.path_span, decl.path, places)).diagnostic())
    return None


def stock_modules() -> tuple[str, ...]:
    """The stock modules, as an import names them."""
    return tuple(STOCK + file.name for file in sorted(STOCK_FOLDER.glob("*.pipe")))
