"""Grammar rules to nodes of `syntax`: one small function for each rule of `grammar/pipe.lark`.

The parser calls them bottom-up with the children of a rule. They never fail and check nothing. `RULES` is what the
parser takes; the modules of this package fill it when they are imported.
"""

from __future__ import annotations

from . import dataflow, expressions, module, settings, types
from .rules import RULES, SHAPE, Edition, Parsed, Rules

__all__ = ["RULES", "SHAPE", "Edition", "Parsed", "Rules", "dataflow", "expressions", "module", "settings", "types"]
