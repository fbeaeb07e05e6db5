"""Numbers with a unit: `ms(50)` is `50ms`, `MiB(256)` is `256MiB`, `percent(10)` is `10%`.

They are values: `percent(100) - CANARY` is an expression of the pipeline.
"""

from __future__ import annotations

from decimal import Decimal

from pipeline_dsl import literals, syntax

from .places import caller
from .values import Value, constant


def us(count: float) -> Value:
    """Microseconds: `pp.us(500)`."""
    return _unit("duration", count, "us")


def ms(count: float) -> Value:
    """Milliseconds: `batching=dict(delay=pp.ms(2))`."""
    return _unit("duration", count, "ms")


def seconds(count: float) -> Value:
    """Seconds: `pp.seconds(1.5)`."""
    return _unit("duration", count, "s")


def minutes(count: float) -> Value:
    """Minutes: `cache=dict(ttl=pp.minutes(10))`."""
    return _unit("duration", count, "min")


def hours(count: float) -> Value:
    """Hours: `pp.hours(1)`."""
    return _unit("duration", count, "h")


def KB(count: float) -> Value:
    """1000 bytes: `pp.KB(64)`."""
    return _unit("bytes", count, "KB")


def MB(count: float) -> Value:
    """1000 KB: `pp.MB(64)`."""
    return _unit("bytes", count, "MB")


def GB(count: float) -> Value:
    """1000 MB: `pp.GB(2)`."""
    return _unit("bytes", count, "GB")


def KiB(count: float) -> Value:
    """1024 bytes: `pp.KiB(64)`."""
    return _unit("bytes", count, "KiB")


def MiB(count: float) -> Value:
    """1024 KiB: `cache=dict(size=pp.MiB(256))`."""
    return _unit("bytes", count, "MiB")


def GiB(count: float) -> Value:
    """1024 MiB: `memory=pp.GiB(2)`."""
    return _unit("bytes", count, "GiB")


def percent(count: float) -> Value:
    """Hundredths: `weight=pp.percent(90)`."""
    return _unit("percent", count, "%")


def _unit(kind: syntax.LiteralKind, count: float, unit: str) -> Value:
    number = Decimal(repr(count)) if isinstance(count, float) else Decimal(count)
    raw = f"{number:f}{unit}"
    if not number.is_finite() or number < 0 or not literals.fits(kind.upper(), raw):
        raise ValueError(f"{count}{unit} can not be written in a pipeline")
    return constant(syntax.Literal(kind, literals.value_of(kind.upper(), raw), raw, span=caller().span))
