"""What editors ask of a file: where names are defined and mentioned, what they are, what may be written next.

    text -> check.examine -> Findings -> build -> Index -> hover, complete, changes, symbols, hints, fixes

Pure like the rest of the compiler. The protocol that editors speak is `pipectl/lsp`.
"""

from __future__ import annotations

from .completion import Completion, Item, complete
from .definitions import Definition, Occurrence, Topic
from .hover import Hover, hover
from .index import Index, build
from .outline import Fold, Hint, Symbol, folds, hints, symbols
from .rename import Change, Refused, changes, refusal, renamed_at
from .shift import Shift

__all__ = [
    "Change",
    "Completion",
    "Definition",
    "Fold",
    "Hint",
    "Hover",
    "Index",
    "Item",
    "Occurrence",
    "Refused",
    "Shift",
    "Symbol",
    "Topic",
    "build",
    "changes",
    "complete",
    "folds",
    "hints",
    "hover",
    "refusal",
    "renamed_at",
    "symbols",
]
