"""A pipeline as a picture: `dot` (Graphviz), `mermaid` (Markdown pages) and `svg` (stands alone, light and dark).

All three draw one `Picture`: boxes for inputs, call sites, expressions and outputs, arrows with the types of what
flows. Pass `devices_of(plan, name)` to colour by device; `streams_of` to colour by stream, and with `crossings_of` mark
events and copies. Same graph, same text.
"""

from __future__ import annotations

from .graphviz import dot
from .mermaid import mermaid
from .placed import crossings_of, devices_of, streams_of
from .svg import svg

__all__ = ["crossings_of", "devices_of", "dot", "mermaid", "streams_of", "svg"]
