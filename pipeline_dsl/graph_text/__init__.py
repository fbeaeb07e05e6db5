"""A pipeline as a picture: `dot` (Graphviz), `mermaid` (Markdown pages) and `svg` (stands alone, light and dark).

All three draw one `Picture`: boxes for inputs, call sites, expressions and outputs, arrows with the types of what
flows. Pass `devices_of(plan, name)` to colour by device. Same graph, same text.
"""

from __future__ import annotations

from .graphviz import dot
from .mermaid import mermaid
from .picture import devices_of
from .svg import svg

__all__ = ["devices_of", "dot", "mermaid", "svg"]
