"""What a profile says, and the checked program as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline_dsl.source import Span
from pipeline_dsl.types import TensorType

from .graph import Graph
from .stages import Stage


@dataclass(frozen=True, slots=True)
class SettingValue:
    """One leaf setting and where it came from (`profile gpu, embed.pipe:31`, `default`)."""

    value: Any
    origin: str
    span: Span | None = field(default=None, compare=False, repr=False)


Settings = Mapping[str, SettingValue]
"""Leaf settings by dotted key: `batching.max`, `queue.level.1.timeout`, `device`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the selected profile says, merged: per stage, per call site, per pipeline. Keys without a value are
    absent; `settings.DEFAULTS` holds the defaults."""

    profile: str = ""
    stages: Mapping[str, Settings] = field(default_factory=dict)
    nodes: Mapping[str, Settings] = field(default_factory=dict)
    pipelines: Mapping[str, Settings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParamValue:
    """The value of a param and who gave it."""

    value: Any
    origin: str
    """`--set`, `env PIPE_CANARY`, `profile prod`, `default`."""
    type: TensorType | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """Everything `check` proved about one main file and what it imports, for one selected profile."""

    path: str
    stages: Mapping[str, Stage]
    pipelines: Mapping[str, Graph]
    """Public pipelines of the main file, in order."""
    params: Mapping[str, ParamValue]
    schedule: Schedule
    profiles: tuple[str, ...] = ()
    """Names of all profiles of the main file."""
