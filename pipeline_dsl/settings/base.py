"""What a settings key is, and finding one by its parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "bool",
    "int",
    "float",
    "duration",
    "size",
    "percent",
    "share",
    "string",
    "header",
    "path",
    "function",
    "word",
    "device",
    "ints",
    "names",
    "value",
]
"""share: a size or a percentage. header: `header("x")`. path: a file, relative to the module. function: `pkg.mod:name`.
names: of ports or stages. value: anything known at compile time. A key with `words` takes these as well."""

Scope = Literal["stage", "call", "pipeline", "contract", "argument", "construct"]


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One key. `name` is dotted; a part `*` stands for a name that the file chooses (`limit.resource.*`)."""

    name: str
    kind: Kind
    default: Any
    """What holds where it is not set; None: nothing."""
    scope: Scope
    doc: str
    words: tuple[str, ...] = ()
    minimum: int = 0
    """The smallest number allowed."""
    backends: tuple[str, ...] = ()
    """Backends that read it; empty: all."""

    def serves(self, backend: str) -> bool:
        """Whether a stage of a backend may have it; "" stands for any backend."""
        return not backend or not self.backends or backend in self.backends


Block = dict[str, Any]
"""Keys below a part: part -> `KeySpec` or `Block`."""


class KeyTree:
    """The keys of one place by their parts."""

    def __init__(self, specs: Iterable[KeySpec]) -> None:
        self.root: Block = {}
        for spec in specs:
            node = self.root
            *blocks, leaf = spec.name.split(".")
            for part in blocks:
                node = node.setdefault(part, {})
            node[leaf] = spec

    def find(self, parts: tuple[str, ...]) -> KeySpec | Block | int:
        """The key, the block of keys, or the index of the first part that is neither."""
        node: KeySpec | Block = self.root
        for index, part in enumerate(parts):
            below = None if isinstance(node, KeySpec) else node.get(part, node.get("*"))
            if below is None:
                return index
            node = below
        return node

    def allowed(self, parts: tuple[str, ...]) -> tuple[str, ...]:
        """The words that may follow these parts."""
        found = self.find(parts)
        return tuple(k for k in found if k != "*") if isinstance(found, dict) else ()
