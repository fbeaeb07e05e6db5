"""What a conversion has to say besides its result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is kept but not used, or left out, or means something else here."""

    about: str
    """Model, stage or step: `model resnet`."""
    text: str

    def __str__(self) -> str:
        return f"{self.about}: {self.text}"


def listed(remarks: Iterable[Remark]) -> str:
    """The remarks for people: one block for each thing they are about, each text once."""
    lines = []
    for about, group in groupby(sorted(remarks, key=lambda r: r.about), key=lambda r: r.about):
        lines.append(f"{about}\n")
        lines += [f"  {text}\n" for text in dict.fromkeys(r.text for r in group)]
    return "".join(lines)
