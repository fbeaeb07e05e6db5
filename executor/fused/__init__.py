"""Static runs at run time: the members of a `FusedPlan` served as one stage.

FusedRuntime    inbox, batcher and instances of a set, over the instances of its members
FusedStep       a set as one step of what is wired
"""

from __future__ import annotations

from .call import FusedCall, FusedStep, with_sets
from .run import FusedRun
from .runtime import FusedRuntime, sets_of

__all__ = ["FusedCall", "FusedRun", "FusedRuntime", "FusedStep", "sets_of", "with_sets"]
