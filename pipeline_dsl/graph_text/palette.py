"""Colours: one hue for each device, the same in every format; neutral for inputs, outputs and expressions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Colours:
    """Fill, line and text for one of the two modes, as `#rrggbb`."""

    fill: str
    line: str
    text: str


NEUTRAL = (Colours("#f6f8fa", "#8c959f", "#1f2328"), Colours("#21262d", "#6e7681", "#e6edf3"))
CPU = (Colours("#ddf4ff", "#0969da", "#0a3069"), Colours("#0c2d6b", "#58a6ff", "#cae8ff"))
GPUS = (
    (Colours("#dafbe1", "#1a7f37", "#044f1e"), Colours("#033a16", "#3fb950", "#aff5b4")),
    (Colours("#fff8c5", "#9a6700", "#4d2d00"), Colours("#4b2900", "#d29922", "#f8e3a1")),
    (Colours("#fbefff", "#8250df", "#3e1f79"), Colours("#3c1e70", "#a371f7", "#eddeff")),
    (Colours("#ffebe9", "#cf222e", "#660018"), Colours("#67060c", "#f85149", "#ffdcd7")),
)
"""By GPU number; a fifth looks like the first."""


def colours(device: str) -> tuple[Colours, Colours]:
    """Light and dark colours of a device name; "" is neutral."""
    if not device:
        return NEUTRAL
    if device.startswith("cuda:"):
        return GPUS[int(device[5:].split(",")[0]) % len(GPUS)]
    return CPU
