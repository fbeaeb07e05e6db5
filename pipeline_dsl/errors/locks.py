"""What a lock file says and a `.pipe` file does not: E0310, E0316, W0310."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.source import Span

from .base import Mistake


@dataclass(frozen=True)
class LockDiffers(Mistake):
    """A port that is not what the artifact had when it was locked."""

    code = "E0310"
    title = "signature disagrees with the artifact"
    span: Span
    stage: str
    text: str
    files: str
    tensors: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"stage `{self.stage}` and {self.files} disagree: {self.text}",
            help="change the signature or `tensors`; `pipectl lock` reads the file again",
            notes=(f"in the lock file: {self.tensors}",),
        )


@dataclass(frozen=True)
class BadLockFile(Mistake):
    """A lock file that is none."""

    code = "E0316"
    title = "lock file can not be read"
    span: Span
    path: str
    why: str

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"the lock file `{self.path}` can not be read: {self.why}",
            help="write it again with `pipectl lock`, or remove it",
        )


@dataclass(frozen=True)
class ArtifactChanged(Mistake):
    """A file that is not the one that was locked."""

    code = "W0310"
    title = "artifact changed since it was locked"
    span: Span
    stage: str
    path: str
    what: str
    """`has changed`, `is gone`"""

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.path}` of stage `{self.stage}` {self.what} since it was locked",
            help="`pipectl lock` reads it again",
        )
