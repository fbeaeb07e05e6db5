"""Contract and schedule settings, backends, profiles: E0407, E0508, E06xx, W0210, W0599, W0601."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span
from pipeline_dsl.spell import did_you_mean, nearest

from .base import Mistake
from .edits import respelled


@dataclass(frozen=True)
class BadBackend(Mistake):
    """An unknown backend, or an argument it does not take."""

    code = "E0407"
    title = "bad backend argument"
    span: Span
    text: str
    label: str = ""
    help: str = ""
    notes: tuple[str, ...] = ()

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, self.text, label=self.label, help=self.help, notes=self.notes)


@dataclass(frozen=True)
class SelectorMatchesNothing(Mistake):
    """A profile block for something that is not there."""

    code = "E0601"
    title = "selector matches nothing"
    span: Span
    selector: str
    candidates: tuple[str, ...]
    note: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"no stage, pipeline or node `{self.selector}`",
            label=did_you_mean(self.selector, self.candidates),
            notes=(self.note,) if self.note else (),
            edits=respelled(self.span, self.selector, self.candidates),
        )


@dataclass(frozen=True)
class UnknownProfile(Mistake):
    """A profile that is not declared."""

    code = "E0602"
    title = "unknown profile"
    span: Span
    name: str
    profiles: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        guess = nearest(self.name, self.profiles)
        known = ", ".join(self.profiles) if self.profiles else "none"
        return self.at(
            self.span,
            f"no profile `{self.name}`",
            help=f"did you mean `{guess}`?" if guess else "",
            notes=(f"profiles: {known}",),
            edits=respelled(self.span, self.name, self.profiles),
        )


@dataclass(frozen=True)
class ProfileCycle(Mistake):
    """Profiles that extend each other."""

    code = "E0602"
    title = "unknown profile"
    span: Span
    chain: tuple[str, ...]

    def diagnostic(self) -> Diagnostic:
        chain = " -> ".join(self.chain)
        return self.at(self.span, f"profiles extend each other: {chain}", help="remove one `extends`")


@dataclass(frozen=True)
class UnknownSetting(Mistake):
    """A key outside the closed set of its place."""

    code = "E0603"
    title = "unknown setting"
    span: Span
    key: str
    place: str
    allowed: tuple[str, ...]
    what: str = "setting"
    """`port` or `size` where a key or value names one."""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"unknown {self.what} `{self.key}` in {self.place}",
            label=did_you_mean(self.key, self.allowed),
            notes=(f"allowed: {', '.join(self.allowed) or 'nothing'}",),
            edits=respelled(self.span, self.key, self.allowed),
        )


@dataclass(frozen=True)
class WrongSetting(Mistake):
    """A value of the wrong unit or type."""

    code = "E0604"
    title = "wrong unit or type"
    span: Span
    key: str
    needs: str
    found: str
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"`{self.key}` needs {self.needs}, found {self.found}", help=self.help)


@dataclass(frozen=True)
class NoRowAxis(Mistake):
    """Batching of a stage that takes no rows."""

    code = "E0605"
    title = "no row axis"
    span: Span
    stage: str
    key: str
    port: Span | None
    suggestion: str

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.port, "no `*`"),) if self.port else ()
        return self.at(
            self.span,
            f"`{self.stage}` has no `*`: `{self.key}` has nothing to count",
            labels=labels,
            help=f"write `{self.suggestion}` if its rows are independent" if self.suggestion else "",
        )


@dataclass(frozen=True)
class TooLarge(Mistake):
    """A size beyond what the artifact, a bound or another setting allows."""

    code = "E0606"
    title = "larger than allowed"
    span: Span
    key: str
    value: int
    limit: int
    reason: str
    place: Span | None = None

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.place, self.reason),) if self.place else ()
        return self.at(
            self.span,
            f"`{self.key}` has {self.value}, but {self.reason} allows {self.limit}",
            labels=labels,
            help=f"lower {self.value} to {self.limit}, or raise the limit",
        )


@dataclass(frozen=True)
class SettingsDisagree(Mistake):
    """Two settings that can not both hold."""

    code = "E0608"
    title = "settings disagree"
    span: Span
    text: str
    other: Span | None = None
    label: str = ""
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        labels = (Label(self.other, self.label),) if self.other else ()
        return self.at(self.span, self.text, labels=labels, help=self.help)


@dataclass(frozen=True)
class LateDeadline(Mistake):
    """A timeout inside of a shorter one."""

    code = "E0508"
    title = "inner deadline longer than outer"
    span: Span
    node: str
    inner: str
    outer: str
    whole: Span

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.node}` may take {self.inner}, and its request ends after {self.outer}",
            labels=(Label(self.whole, f"the whole request: {self.outer}"),),
            help=f"give it less than {self.outer}, or the pipeline more",
        )


@dataclass(frozen=True)
class NotCacheable(Mistake):
    """A cache in front of a stage whose answers may not be kept."""

    code = "E0609"
    title = "stage can not be cached"
    span: Span
    stage: str
    why: str
    help: str = ""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"`{self.stage}` can not be cached: {self.why}", help=self.help)


@dataclass(frozen=True)
class AnonymousNode(Mistake):
    """A profile block for a call without a name of its own, or whose name stands in several arms."""

    code = "W0210"
    title = "profile addresses an anonymous node"
    span: Span
    node: str
    call: Span | None
    name: str = ""
    """What it is called in its arm, where that is not enough for an id."""

    def diagnostic(self) -> Diagnostic:
        if self.name:
            told = f"this call is one of several with the name `{self.name}`"
            return self.at(
                self.span,
                f"the id `{self.node}` names an arm: it changes when `{self.name}` stands in one place only",
                labels=(Label(self.call, told),) if self.call else (),
                help="give each of the results a name of its own and address that",
            )
        labels = (Label(self.call, "this call has no name of its own"),) if self.call else ()
        return self.at(
            self.span,
            f"`{self.node}` is an anonymous node: its id changes when calls are added or removed",
            labels=labels,
            help="give the call's result a name and address that",
        )


@dataclass(frozen=True)
class IdleSetting(Mistake):
    """A setting of the language that this version does nothing with."""

    code = "W0599"
    title = "setting not used in this version"
    span: Span
    key: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.key}` is not used in this version",
            help="leave it for a later one, or remove it",
        )


@dataclass(frozen=True)
class NoEffect(Mistake):
    """A setting that changes nothing."""

    code = "W0601"
    title = "setting has no effect"
    span: Span
    key: str
    why: str
    advice: str
    """What would give it one: "set `timeout`"."""

    def diagnostic(self) -> Diagnostic:
        return self.at(self.span, f"`{self.key}` has no effect: {self.why}", help=f"{self.advice}, or remove this")
