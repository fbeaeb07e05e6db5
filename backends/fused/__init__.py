"""Several stages of one device as one instance, and their work captured as graphs.

FusedInstance    runs the members of a `FusedPlan` one after the other, on the streams of their chains
Graphs           the captured graphs of one instance, by rows
"""

from __future__ import annotations

from .instance import FusedInstance
from .program import Member, RowsFailed

__all__ = ["FusedInstance", "Member", "RowsFailed"]
