"""Colours: one hue for each device, or each of its streams, the same in every format; neutral for inputs, outputs and
expressions.
"""

from __future__ import annotations

import re
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
    (Colours("#d8f5f5", "#0e7c86", "#04434a"), Colours("#053d42", "#39b5bf", "#b3ecf0")),
    (Colours("#ffeff7", "#bf3989", "#611347"), Colours("#5e103e", "#db61a2", "#ffdaec")),
    (Colours("#fff1e5", "#bc4c00", "#5c2200"), Colours("#5a1e02", "#db6d28", "#ffdfb6")),
)
"""By GPU number; an eighth looks like the first. Streams take those from their GPU's on."""
_NEXT_GPU = 3
"""GPUs are so far apart where their streams are told."""
_STREAM = re.compile(r"(?:cuda|sim):(\d+)[\d,]*(?: stream (\d+)| sms \d+)?")


def colours(device: str) -> tuple[Colours, Colours]:
    """Light and dark colours of a device name, or of one of its streams (`cuda:0 stream 1`); "" is neutral."""
    if not device:
        return NEUTRAL
    found = _STREAM.fullmatch(device)
    if found is None:
        return CPU
    gpu, stream = found.groups()
    return GPUS[(int(gpu) if stream is None else _NEXT_GPU * int(gpu) + int(stream)) % len(GPUS)]
