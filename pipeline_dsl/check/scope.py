"""Names of one module and what they stand for.

`resolve` fills a `Scope` for each module; everything later asks it: `use(text)` to look a name up and count
it as used, `lookup(text)` to look without counting. A declaration with a mistake is bound to `ErrorBinding`:
whoever meets it stays silent, the mistake has been told. Names that come from `from .. import` are followed
to their module.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl import ir, syntax
from pipeline_dsl.locks import Lock
from pipeline_dsl.operations import Typed
from pipeline_dsl.types import TensorType

from .options import Options


@dataclass(frozen=True, slots=True, eq=False)
class StageBinding:
    """A stage and the module that declares it. `stage.name` is unique in the program."""

    stage: ir.Stage
    decl: syntax.Stage
    scope: Scope = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class PipelineBinding:
    """A pipeline, public or private. `name` is unique in the program; `scope` is where its body's names
    live."""

    name: str
    decl: syntax.Pipeline
    scope: Scope = field(repr=False)
    signature: ir.Signature


@dataclass(frozen=True, slots=True, eq=False)
class ValueBinding:
    """A const or a param with its value: Python data, durations in ns, sizes in bytes, percent as a
    fraction."""

    name: str
    type: TensorType
    value: Any
    decl: syntax.Const | syntax.Param
    is_param: bool
    weak: bool = False
    """A const without a type that is a plain number: it takes the dtype of the place where it is used."""
    origin: str = ""
    """Of a param: `--set`, `env PIPE_N`, `profile prod`, `default`."""

    @property
    def typed(self) -> Typed:
        return Typed(self.type, self.value, self.weak)


@dataclass(frozen=True, slots=True, eq=False)
class TypeBinding:
    """A `type` alias; its free sizes are renamed at each use (`signatures.type_of`)."""

    name: str
    type: TensorType
    decl: syntax.TypeAlias


@dataclass(frozen=True, slots=True, eq=False)
class ModuleBinding:
    """`import ".." as v`"""

    name: str
    scope: Scope = field(repr=False)
    decl: syntax.Import


@dataclass(frozen=True, slots=True, eq=False)
class ProfileBinding:
    """Profiles have names of their own: `profile embed` and `pipeline embed` do not clash."""

    name: str
    decl: syntax.Profile


@dataclass(frozen=True, slots=True, eq=False)
class ErrorBinding:
    """Declared, but wrong; its mistake is in the sink already."""

    decl: syntax.Decl


@dataclass(frozen=True, slots=True, eq=False)
class Pending:
    """Declared, and not looked at yet; none is left when `resolve` returns."""

    decl: syntax.Decl


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """`from ".." import a as b`: followed by `Scope.lookup`, never returned by it."""

    scope: Scope = field(repr=False)
    name: str
    decl: syntax.FromImport
    item: syntax.ImportItem


Binding = StageBinding | PipelineBinding | ValueBinding | TypeBinding | ModuleBinding | ErrorBinding | Pending


@dataclass(slots=True, eq=False)
class Scope:
    """The names of one module. Filled by `resolve` only; after it only `used` changes."""

    module: syntax.Module
    options: Options = field(default_factory=Options, repr=False)
    prefix: str = ""
    """In front of the names of its stages in the program: "" for the main file, `emb` for an import."""
    names: dict[str, Binding | Imported] = field(default_factory=dict, repr=False)
    profiles: dict[str, ProfileBinding] = field(default_factory=dict, repr=False)
    used: set[str] = field(default_factory=set, repr=False)
    lock: Lock = field(default_factory=Lock, repr=False)
    """What the module's lock file says."""

    def lookup(self, text: str) -> Binding | None:
        """What a name stands for, or None. Does not count as a use."""
        found = self.names.get(text)
        while isinstance(found, Imported):
            found = found.scope.names.get(found.name)
        return found

    def owner(self, text: str) -> Scope:
        """The module that declares a name: this one, or where it is imported from."""
        scope, found = self, self.names.get(text)
        while isinstance(found, Imported):
            scope, found = found.scope, found.scope.names.get(found.name)
        return scope

    def use(self, text: str) -> Binding | None:
        """`lookup` that counts as a use, so that W0201 leaves the name alone."""
        self.mark_used(text)
        return self.lookup(text)

    def mark_used(self, text: str) -> None:
        """Count a name as used."""
        self.used.add(text)

    def visible_names(self) -> list[str]:
        """All names in order of declaration, for `did you mean`."""
        return list(self.names)

    def imported(self) -> list[Scope]:
        """The modules that this one imports, by whatever form."""
        found = [b.scope for b in self.names.values() if isinstance(b, ModuleBinding | Imported)]
        return list(dict.fromkeys(found))

    def qualify(self, text: str) -> str:
        """The name in the whole program: `encoder`, `emb.encoder`."""
        return f"{self.prefix}.{text}" if self.prefix else text

    @property
    def folder(self) -> str:
        """Folder of the file; relative paths in it start there. "" for the current folder."""
        return os.path.dirname(self.module.source.path)
