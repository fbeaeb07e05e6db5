"""Where stages run and what that costs: E0607, W0501, W0602. Told for a profile, which says the devices."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline_dsl.diagnostics import Diagnostic, Label
from pipeline_dsl.source import Span

from .base import Mistake

OVERRIDE = "--device cuda"
"""How a command asks for GPUs whatever profiles say."""


@dataclass(frozen=True)
class NoSuchDevice(Mistake):
    """A GPU that the machine does not have."""

    code = "E0607"
    title = "device that is not there"
    span: Span
    device: str
    """`cuda(1)`, as it is written; OVERRIDE."""
    gpus: tuple[str, ...]
    """Names of the GPUs that are there."""

    def diagnostic(self) -> Diagnostic:
        if not self.gpus:
            usual = "write `device = any` for a GPU where there is one, or choose a profile for the cpu"
            without = "leave `--device` out, or try `--device sim`, which needs no GPU"
            return self.at(
                self.span,
                f"`{self.device}`: this machine has no GPU",
                help=without if self.device == OVERRIDE else usual,
                notes=("GPUs are found with nvidia-ml-py: pip install 'pipectl[gpu]'",),
            )
        listed = ", ".join(f"{number}: {name}" for number, name in enumerate(self.gpus))
        return self.at(
            self.span,
            f"`{self.device}`: this machine has {len(self.gpus)} GPU{'s' if len(self.gpus) > 1 else ''}",
            help=f"numbers go from 0 to {len(self.gpus) - 1}" if len(self.gpus) > 1 else "write `cuda(0)`",
            notes=(f"GPUs: {listed}",),
        )


@dataclass(frozen=True)
class DeviceRead(Mistake):
    """An expression over a value that a GPU makes, or a decision by it."""

    code = "W0501"
    title = "expression reads a device value"
    span: Span
    value: str
    """`embed.score`, the node that makes it."""
    device: str
    placed: Span | None
    verb: str = "computed"

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"this is {self.verb} on the host and waits for `{self.value}`, which is made on {self.device}",
            labels=(Label(self.placed, "placed here"),) if self.placed else (),
            help="let a stage on that device compute it, or place the stage on the cpu",
        )


@dataclass(frozen=True)
class DeviceCopy(Mistake):
    """A large value that leaves a GPU for another stage."""

    code = "W0602"
    title = "copy between devices"
    span: Span
    value: str
    size: str
    """`9.4 MiB per row`"""
    source: str
    target: str
    placed: Span | None

    def diagnostic(self) -> Diagnostic:
        return self.at(
            self.span,
            f"`{self.value}` is copied from {self.source} to {self.target}: {self.size}",
            labels=(Label(self.placed, f"what makes it is placed on {self.source} here"),) if self.placed else (),
            help="place both stages on one device, or send less from one to the other",
        )
