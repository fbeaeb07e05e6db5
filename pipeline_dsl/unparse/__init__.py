"""Tree to text: `to_text(module)` prints a module in the formatter's layout.

For every module that text can spell, `parse(to_text(module)) == module`. Positions are of no use here, so trees of
the builder print as well. Comments are gone; documentation stays.
"""

from __future__ import annotations

from pipeline_dsl import syntax
from pipeline_dsl.format import format_text
from pipeline_dsl.source import Source

from .declarations import declaration_text
from .expressions import expression
from .types import type_text

__all__ = ["expression", "to_text", "type_text"]


def to_text(module: syntax.Module) -> str:
    """The module as text; ends with a newline."""
    lines = [] if module.edition is None else [f"pipe {module.edition}\n"]
    previous: syntax.Decl | None = None
    for decl in module.decls:
        together = previous is not None and _belong_together(previous, decl)
        lines.append(declaration_text(decl) if together else "\n" + declaration_text(decl))
        previous = decl
    return format_text(Source("<tree>", "".join(lines)))


def _belong_together(above: syntax.Decl, below: syntax.Decl) -> bool:
    """Short declarations of one kind stand without a blank line."""
    if isinstance(below, syntax.Import | syntax.FromImport):
        return isinstance(above, syntax.Import | syntax.FromImport)
    short = syntax.Const | syntax.Param | syntax.TypeAlias
    return isinstance(below, short) and type(above) is type(below) and not below.doc
