"""Which definition a name means: the regions of a body from the inside out, then the file, then what it imports.

Works on declarations, not on what the checker made of them: a stage with a mistake is still what its callers name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline_dsl import ir, syntax
from pipeline_dsl.check.lookup import declared_private
from pipeline_dsl.check.scope import Imported, ModuleBinding, Scope, StageBinding
from pipeline_dsl.source import Source, Span

from .definitions import Definition, Kind

_KINDS: dict[type, Kind] = {
    syntax.Import: "module",
    syntax.Const: "const",
    syntax.Param: "param",
    syntax.TypeAlias: "type",
    syntax.Stage: "stage",
    syntax.Pipeline: "pipeline",
    syntax.Profile: "profile",
}

Named = syntax.Import | syntax.Const | syntax.Param | syntax.TypeAlias | syntax.Stage | syntax.Pipeline | syntax.Profile
Callable = syntax.Stage | syntax.Pipeline


@dataclass(frozen=True, slots=True)
class Callee:
    """A stage or pipeline with the file that declares it."""

    decl: Callable
    scope: Scope
    locked: ir.Signature | None = None
    """What the lock file says of a stage that declares no ports."""

    @property
    def shown(self) -> str:
        """`stage encoder`"""
        return owner_text(self.decl)

    @property
    def inputs(self) -> tuple[syntax.Port, ...]:
        signature = signature_of(self)
        return signature.inputs if signature else ()

    @property
    def outputs(self) -> tuple[syntax.Port, ...]:
        signature = signature_of(self)
        return signature.outputs if signature else ()


@dataclass(slots=True, eq=False)
class Names:
    """The names of one body or arm, and those around it."""

    scope: Scope
    span: Span
    outer: Names | None = None
    local: dict[str, Definition] = field(default_factory=dict)
    sizes: dict[str, Definition] = field(default_factory=dict)
    """Sizes of the signature around it; shared by all regions of a body."""
    owner: str = ""

    def inner(self, span: Span) -> Names:
        """The names of an arm below."""
        return Names(self.scope, span, self, sizes=self.sizes, owner=self.owner)

    def local_definition(self, text: str) -> Definition | None:
        """The variable of the innermost region that has it."""
        region: Names | None = self
        while region is not None:
            if text in region.local:
                return region.local[text]
            region = region.outer
        return None

    def definition(self, text: str) -> Definition | None:
        """What a name means here."""
        return self.local_definition(text) or definition_in(self.scope, text)

    def variables(self) -> Iterator[Definition]:
        """Every variable that can be seen, innermost first."""
        region: Names | None = self
        while region is not None:
            yield from region.local.values()
            region = region.outer


def of_declaration(decl: Named) -> Definition:
    """The definition that a declaration is."""
    return Definition(_KINDS[type(decl)], decl.name.text, decl.name.span, decl.span, decl)


def of_item(decl: syntax.FromImport, item: syntax.ImportItem, target: Definition | None = None) -> Definition:
    """A name that an import gives this file."""
    name = item.alias or item.name
    return Definition("import", name.text, name.span, decl.span, decl, target=target)


def of_port(port: syntax.Port, kind: Kind, owner: str) -> Definition:
    """An input or output of a signature."""
    return Definition(kind, port.name.text, port.name.span, port.span, port, owner)


def of_file(source: Source) -> Definition:
    """A whole file."""
    start = Span(source, 0, 0)
    return Definition("file", source.path, start, start)


def definition_in(scope: Scope, text: str) -> Definition | None:
    """What a name of a file means: an alias of this file, or the declaration at the end of all imports."""
    found = scope.names.get(text)
    if isinstance(found, Imported):
        target = definition_in(found.scope, found.name)
        return of_item(found.decl, found.item, target) if found.item.alias or target is None else target
    if found is None:
        return None
    decl = found.decl
    if isinstance(decl, syntax.FromImport):
        return next((of_item(decl, item) for item in decl.items if str(item.alias or item.name) == text), None)
    return of_declaration(decl)


def module_of(scope: Scope, text: str) -> Scope | None:
    """The file behind `import ".." as text`."""
    found = scope.lookup(text)
    return found.scope if isinstance(found, ModuleBinding) else None


def public(scope: Scope) -> Iterator[Definition]:
    """Names of a file that others may use."""
    for text in scope.names:
        found = definition_in(scope, text)
        if found is not None and declared_private(scope.lookup(text)) is None:
            yield found


def callee_of(expr: syntax.Expr, names: Names) -> Callee | None:
    """The stage or pipeline that a call names: `f`, `f@4`, `emb.f`."""
    match expr:
        case syntax.Name(text=text) | syntax.Versioned(name=text):
            return None if names.local_definition(text) else callee_in(names.scope, text)
        case syntax.Member(value=syntax.Name(text=module), name=name):
            inner = None if names.local_definition(module) else module_of(names.scope, module)
            return callee_in(inner, name.text) if inner else None
    return None


def callee_in(scope: Scope, text: str) -> Callee | None:
    """The stage or pipeline of that name."""
    found = scope.lookup(text)
    decl = getattr(found, "decl", None)
    if not isinstance(decl, syntax.Stage | syntax.Pipeline):
        return None
    bare = isinstance(found, StageBinding) and found.decl.signature is None and found.decl.like is None
    locked = found.stage.signature if isinstance(found, StageBinding) and bare else None
    return Callee(decl, scope.owner(text), locked)


def signature_of(callee: Callee) -> syntax.Signature | None:
    """The signature, `like` followed; None where there is none."""
    seen: set[int] = set()
    while id(callee.decl) not in seen:
        seen.add(id(callee.decl))
        decl = callee.decl
        if isinstance(decl, syntax.Pipeline) or decl.signature is not None or decl.like is None:
            return decl.signature
        found = like_of(decl.like, callee.scope)
        if found is None:
            return None
        callee = found
    return None


def like_of(name: syntax.QName, scope: Scope) -> Callee | None:
    """The stage behind `like`."""
    *modules, last = (part.text for part in name.parts)
    for module in modules:
        inner = module_of(scope, module)
        if inner is None:
            return None
        scope = inner
    return callee_in(scope, last)


def port_in(ports: tuple[syntax.Port, ...], text: str) -> syntax.Port | None:
    """The port of that name."""
    return next((port for port in ports if port.name.text == text), None)


def owner_text(decl: Callable) -> str:
    """`stage encoder`"""
    return f"{'stage' if isinstance(decl, syntax.Stage) else 'pipeline'} {decl.name}"
