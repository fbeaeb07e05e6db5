"""What names of pipelines' bodies turned out to be, by the place where each is defined: for editors.

Filled while bodies are typed, whatever else goes wrong there. A name whose mistake has been told has None.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline_dsl.source import Span

from .regions import Outcome

Place = tuple[str, int]
"""Path of a source, and the offset in it."""


@dataclass(slots=True)
class Facts:
    """One compilation's facts."""

    outcomes: dict[Place, Outcome] = field(default_factory=dict)

    def define(self, name: Span, outcome: Outcome) -> None:
        """Notes what the name defined at a place stands for."""
        self.outcomes[name.source.path, name.start] = outcome
