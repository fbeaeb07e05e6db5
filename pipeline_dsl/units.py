"""Durations and sizes as people read them: whole nanoseconds and bytes to the language's unit literals."""

from __future__ import annotations

from .literals import DURATIONS


def duration_text(ns: int) -> str:
    """The shortest exact spelling: `2ms`, `1500us`, `1min`; nanoseconds where no unit fits."""
    for unit, size in sorted(DURATIONS.items(), key=lambda item: -item[1]):
        if ns and ns % size == 0:
            return f"{ns // size}{unit}"
    return f"{ns}ns" if ns else "0s"


def bytes_text(count: int) -> str:
    """Rounded to one decimal: `64 B`, `588 KiB`, `9.4 MiB`."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    index = 0
    while value >= 1024 and index < len(units) - 1:
        value, index = value / 1024, index + 1
    return f"{value:.1f}".removesuffix(".0") + f" {units[index]}"
