"""A program in Python: `module(pipeline, ..)` collects what is used, `parse(text)` reads it from text.

Both give a `Module` around the same tree; two modules are equal if their trees are. Declarations come in the order of
a file: imports, names, stages, pipelines, profiles, each kind in the order it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grammar
from pipeline_dsl import compile as driver
from pipeline_dsl import syntax
from pipeline_dsl.check import Options
from pipeline_dsl.diagnostics import CompileError, Diagnostic, Sink
from pipeline_dsl.parse import parse as parse_source
from pipeline_dsl.reader.reserved import reserved_names
from pipeline_dsl.source import Source, Span
from pipeline_dsl.unparse import to_text

from .declared import Declared
from .places import caller_file, source_of
from .profiles import Profile

_KINDS: tuple[Any, ...] = (
    syntax.Import | syntax.FromImport,
    syntax.Const | syntax.Param | syntax.TypeAlias,
    syntax.Stage,
    syntax.Pipeline,
    syntax.Profile,
)


class Module:
    """A program: what `load` and `compile` take, and what `.pipe` text says."""

    __slots__ = ("_tree", "_unfit")

    def __init__(self, tree: syntax.Module, unfit: tuple[Diagnostic, ...] = ()) -> None:
        self._tree = tree
        self._unfit = unfit

    @property
    def syntax(self) -> syntax.Module:
        """The tree. CompileError (E0904) if a stage is Python code that can not be imported."""
        if self._unfit:
            raise CompileError(list(self._unfit))
        return self._tree

    @property
    def path(self) -> str:
        """The file that relative paths start from, and that messages show."""
        return self._tree.source.path

    def to_text(self) -> str:
        """The program as `.pipe` text: `pp.parse(m.to_text()) == m`. CompileError like `syntax`."""
        return to_text(self.syntax)

    def check(self, *, profile: str | None = None, params: Mapping[str, Any] | None = None) -> tuple[Diagnostic, ...]:
        """Warnings of the checker. CompileError with all mistakes, at the Python lines that made them."""
        options = Options(profile, {name: _spelt(value) for name, value in (params or {}).items()})
        _, sink = driver.check_module(self.syntax, options)
        if sink.has_errors:
            raise CompileError(sink.sorted())
        return tuple(sink.sorted())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and self._tree == other._tree

    def __hash__(self) -> int:
        return hash(self._tree)

    def __repr__(self) -> str:
        named = (d.name.text for d in self._tree.decls if isinstance(d, syntax.Pipeline))
        return f"<module {self.path}: {', '.join(named)}>"


def module(*items: Any, profiles: Iterable[Profile] = (), path: str = "") -> Module:
    """The program of pipelines and all they use: `m = pp.module(cascade, profiles=[gpu])`.

    items: pipelines; also stages, consts or params that nothing uses. path: the file that relative paths start
    from; else the caller's."""
    found: dict[Declared, None] = {}
    for item in (*items, *profiles):
        _collect(_declared(item), found)
    ordered = sorted(found, key=lambda d: (_kind(d.tree()), d.order))
    decls = tuple(d.tree() for d in ordered)
    reserved = [mistake.diagnostic() for mistake in reserved_names(decls)]
    if reserved:
        raise CompileError(reserved)
    source = source_of(path or caller_file())
    tree = syntax.Module(source, grammar.EDITION, decls, span=Span(source, 0, 0))
    return Module(tree, tuple(d for one in ordered for d in one.unfit()))


def parse(text: str, path: str = "<text>") -> Module:
    """The program that a text says: `pp.parse(open("embed.pipe").read(), "embed.pipe")`. CompileError if it has
    syntax errors; what it means is checked by `check`, `compile` and `load`."""
    sink = Sink()
    tree = parse_source(Source(path, text), sink)
    if sink.has_errors:
        raise CompileError(sink.sorted())
    return Module(tree)


def _declared(item: object) -> Declared:
    if isinstance(item, Declared):
        return item
    if not hasattr(type(item), "__declared__"):
        raise TypeError(f"a module is made of pipelines, stages, names and profiles, found {item!r:.60}")
    found = item.__declared__()  # type: ignore[attr-defined]  # just looked up
    assert isinstance(found, Declared)
    return found


def _collect(declared: Declared, found: dict[Declared, None]) -> None:
    """A declaration and what it needs; chains of them may be long."""
    waiting = [declared]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = None
            waiting += one.uses()


def _kind(decl: syntax.Decl) -> int:
    return next(i for i, kind in enumerate(_KINDS) if isinstance(decl, kind))


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
