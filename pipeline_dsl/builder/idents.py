"""Names that Python gives as strings."""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.literals import is_name
from pipeline_dsl.source import Span


def ident(name: object, span: Span) -> syntax.Ident:
    """A name in the tree. ValueError for what no text could say: `my-model`, `größe`, 3."""
    if not isinstance(name, str) or not is_name(name):
        raise ValueError(f"names are letters, digits and `_`, found {name!r:.60}")
    return syntax.Ident(name, span=span)
