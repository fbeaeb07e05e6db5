"""Names, imports, constants and parameters: E01xx, E0404, W0201."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span
from pipeline_dsl.spell import did_you_mean, nearest

from .base import Mistake
from .edits import Edits, respelled, written


@dataclass(frozen=True)
class ImportNotFound(Mistake):
    """A file that is nowhere."""

    code = "E0101"
    title = "import not found"
    span: Span
    path: str
    searched: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        where = f"searched: {', '.join(self.searched)}" if self.searched else "the search path is empty"
        text = "paths are relative to the file that imports"
        if self.path.startswith("@"):
            text = "`@` paths are looked up in the search path; write one that is relative to this file"
        return self.at(self.span, f"can not find `{self.path}`", help=text, notes=(where,))


@dataclass(frozen=True)
class NoStockModule(Mistake):
    """`@std/` has no such file."""

    code = "E0101"
    title = "import not found"
    span: Span
    path: str
    stock: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        guess = did_you_mean(self.path, self.stock) or "`@std/` holds the stock modules only"
        notes = (f"stock modules: {', '.join(self.stock)}",)
        return self.at(self.span, f"can not find `{self.path}`", help=guess, notes=notes)


@dataclass(frozen=True)
class FileUnreadable(Mistake):
    """A file that is there, but is no text."""

    code = "E0101"
    title = "import not found"
    span: Span
    path: str
    why: str

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"can not read `{self.path}`: {self.why}")


@dataclass(frozen=True)
class ImportCycle(Mistake):
    """Files that need each other."""

    code = "E0102"
    title = "import cycle"
    span: Span
    chain: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"files import each other: {' -> '.join(self.chain)}",
            help="move what both need to a third file",
        )


@dataclass(frozen=True)
class ImportTooDeep(Mistake):
    """A chain of imports longer than anyone writes."""

    code = "E0102"
    title = "import cycle"
    span: Span
    limit: int

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span, f"imports are nested more than {self.limit} deep", help="import it from the main file"
        )


@dataclass(frozen=True)
class UnknownName(Mistake):
    """A name that nothing in the file declares. `kind`: "name", "dtype", "function", "size", "backend"."""

    code = "E0103"
    title = "unknown name"
    span: Span
    name: str
    candidates: tuple[str, ...] = ()
    kind: str = "name"
    note: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"unknown {self.kind} `{self.name}`",
            label=did_you_mean(self.name, self.candidates),
            notes=(self.note,) if self.note else (),
            edits=respelled(self.span, self.name, self.candidates),
        )


@dataclass(frozen=True)
class DuplicateName(Mistake):
    """Two declarations, two ports or two settings of one name."""

    code = "E0104"
    title = "declared twice"
    span: Span
    name: str
    first: Span | None
    """None: the language itself has the name."""
    verb: str = "declared"
    """`set` for a setting."""

    def diagnostic(self) -> Diagnostic:
        if self.first is None:
            return self.at(self.span, f"`{self.name}` is a dtype and can not be declared", help="choose another name")
        labels = (Label(self.first, f"{self.verb} here first"),)
        advice = "remove one of them" if self.verb == "set" else "rename one of them, or remove it"
        return self.at(self.span, f"`{self.name}` is {self.verb} twice", labels=labels, help=advice)


@dataclass(frozen=True)
class UnknownInString(Mistake):
    """`${X}` in a string where no const or param is called `X`."""

    code = "E0105"
    title = "unknown name in a string"
    span: Span
    name: str
    candidates: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        known = ", ".join(self.candidates) if self.candidates else "none"
        return self.at(
            self.span,
            f"`${{{self.name}}}` names no const or param",
            label=did_you_mean(self.name, self.candidates),
            notes=(f"consts and params: {known}",),
            edits=respelled(self.span, self.name, self.candidates),
        )


@dataclass(frozen=True)
class TemplateMismatch(Mistake):
    """Names in a `format` template and its arguments differ."""

    code = "E0105"
    title = "unknown name in a string"
    span: Span
    text: str
    hint: str

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.text, help=self.hint)


@dataclass(frozen=True)
class ParamRejected(Mistake):
    """A value that breaks the param's type or constraint. `origin` says who gave it."""

    code = "E0106"
    title = "parameter value refused"
    span: Span
    """Where the value stands if that is in a file, else the param."""
    name: str
    shown: str
    why: str
    origin: str
    constraint: Span | None = None
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.constraint, "declared here"),) if self.constraint else ()
        message = f"{self.name} = {self.shown} {self.why}"
        return self.at(self.span, message, labels=labels, help=self.help, notes=(f"value from {self.origin}",))


@dataclass(frozen=True)
class ParamMissing(Mistake):
    """A param without a default that nobody gave."""

    code = "E0106"
    title = "parameter value refused"
    span: Span
    name: str
    environment: str

    def diagnostic(self) -> Diagnostic:
        text = f"give it with `--set {self.name}=..`, in the environment as {self.environment}, or write a default"
        return self.at(self.span, f"parameter `{self.name}` has no value", help=text)


@dataclass(frozen=True)
class UnknownParam(Mistake):
    """`--set` of something that is no param."""

    code = "E0106"
    title = "parameter value refused"
    span: Span
    name: str
    params: tuple[str, ...]
    origin: str = "`--set`"

    def diagnostic(self) -> Diagnostic:
        known = ", ".join(self.params) if self.params else "none"
        guess = nearest(self.name, self.params)
        return self.at(
            self.span,
            f"{self.origin} names `{self.name}`, and there is no such param",
            help=f"did you mean `{guess}`?" if guess else "",
            notes=(f"params: {known}",),
        )


@dataclass(frozen=True)
class EnvironmentMissing(Mistake):
    """`env("X")` without a default where X is not set."""

    code = "E0106"
    title = "parameter value refused"
    span: Span
    name: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"the environment variable {self.name} is not set",
            help=f'set it, or give a default: `env("{self.name}", "..")`',
        )


@dataclass(frozen=True)
class NotAMember(Mistake):
    """A private or unknown name of an imported file."""

    code = "E0107"
    title = "not a member of the module"
    span: Span
    module: str
    name: str
    private: Span | None
    """Where it is declared, if it is private."""
    members: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        if self.private is not None:
            labels = (Label(self.private, "declared `private`"),)
            return self.at(
                self.span,
                f"`{self.name}` is private in `{self.module}`",
                labels=labels,
                help="remove `private` there, or call a public pipeline",
            )
        return self.at(
            self.span,
            f"`{self.module}` has no `{self.name}`",
            label=did_you_mean(self.name, self.members),
            notes=(f"it has: {', '.join(self.members) or 'nothing'}",),
            edits=respelled(self.span, self.name, self.members),
        )


@dataclass(frozen=True)
class DefinitionCycle(Mistake):
    """Consts, params, types or `like` stages that refer to themselves. `kind`: "type", "value", "stage"."""

    code = "E0108"
    title = "definition refers to itself"
    span: Span
    kind: str
    chain: tuple[str, ...]
    """From the name back to itself: `A`, `B`, `A`."""
    places: tuple[Span, ...] = ()
    """Where the others of the chain are declared."""

    def diagnostic(self) -> Diagnostic:
        labels = tuple(Label(p, "through this") for p in self.places)
        chain = " -> ".join(f"`{n}`" for n in self.chain)
        return self.at(
            self.span,
            f"{self.kind} `{self.chain[0]}` refers to itself",
            labels=labels,
            help="define one of them without the others",
            notes=(f"chain: {chain}",),
        )


@dataclass(frozen=True)
class NotComputable(Mistake):
    """An expression that should have a value now and has none."""

    code = "E0109"
    title = "expression has no value"
    span: Span
    why: str
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.why, help=self.help)


@dataclass(frozen=True)
class WrongKind(Mistake):
    """A name that stands for something else than its place needs."""

    code = "E0404"
    title = "wrong kind of name"
    span: Span
    name: str
    found: str
    """`a stage`, `a type`, `a module`"""
    wanted: str
    declared: Span | None = None
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.declared, "declared here"),) if self.declared else ()
        return self.at(self.span, f"`{self.name}` is {self.found}, not {self.wanted}", labels=labels, help=self.help)


@dataclass(frozen=True)
class Unused(Mistake):
    """Something nobody reads. `kind`: "variable", "stage", "const", "param", "type", "import", "pipeline"."""

    code = "W0201"
    title = "unused"
    span: Span
    kind: str
    name: str
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        message = f"{self.kind} `{self.name}` is never used"
        return self.at(self.span, message, help=self.help, edits=self._edits())

    def _edits(self) -> Edits:
        """Imports and inputs are removed by hand, with what is around them."""
        if self.kind in ("import", "input") or self.span.text != self.name:
            return ()
        return written(self.span, "_" if self.kind == "variable" else f"_{self.name}")
