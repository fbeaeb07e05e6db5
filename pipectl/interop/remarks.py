"""What a conversion has to say besides its result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import fill


@dataclass(frozen=True, slots=True)
class Remark:
    """Something that is kept but not used, or left out, or means something else here."""

    about: str
    """Model, stage or step: `model resnet`."""
    text: str

    def __str__(self) -> str:
        return f"{self.about}: {self.text}"


COMMON = 4
"""Things that share a remark before it is told once for all of them."""


def listed(remarks: Iterable[Remark]) -> str:
    """The remarks for people: what is said of many things once, then a block for each thing."""
    by_text: dict[str, list[str]] = {}
    by_thing: dict[str, list[str]] = {}
    for remark in dict.fromkeys(remarks):
        by_text.setdefault(remark.text, []).append(remark.about)
    for text, things in by_text.items():
        for thing in things if len(things) < COMMON else ():
            by_thing.setdefault(thing, []).append(text)
    lines = [_common(text, things) for text, things in by_text.items() if len(things) >= COMMON]
    lines += [f"{thing}\n" + "".join(f"  {text}\n" for text in texts) for thing, texts in sorted(by_thing.items())]
    return "".join(lines)


def _common(text: str, things: list[str]) -> str:
    """One line, and below it what it is about, wrapped."""
    kind = things[0].partition(" ")[0]
    names = ", ".join(sorted(thing.removeprefix(f"{kind} ") for thing in things))
    return f"{len(things)} {kind}s: {text}\n{fill(names, 100, initial_indent='  ', subsequent_indent='  ')}\n"
