"""Bytes as people read them: rounded, where `literals.size` is exact."""

from __future__ import annotations


def bytes_text(count: int) -> str:
    """Rounded to one decimal: `64 B`, `588 KiB`, `9.4 MiB`."""
    value, units = float(count), ("B", "KiB", "MiB", "GiB", "TiB")
    index = 0
    while value >= 1024 and index < len(units) - 1:
        value, index = value / 1024, index + 1
    return f"{value:.1f}".removesuffix(".0") + f" {units[index]}"
