"""A settings block -> its leaves: dotted keys, each found in the closed table of its place (E0603).

`batching { max = 8 }` and `batching.max = 8` are the same leaf; `level@1 { max = 8 }` in `queue` is
`queue.level.1.max`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import DuplicateName
from pipeline_dsl.errors.settings import UnknownSetting, WrongSetting
from pipeline_dsl.settings import KeySpec, KeyTree
from pipeline_dsl.source import Span

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One setting as written and what it is."""

    key: str
    """In full: `queue.level.1.max`."""
    spec: KeySpec
    setting: syntax.Setting

    @property
    def span(self) -> Span:
        """Where the key stands."""
        return self.setting.key.span


def leaves(block: syntax.Block, tree: KeyTree, place: str, sink: Sink) -> list[Leaf]:
    """All settings of a block that the table knows; the others are reported and left out.

    `place` says in messages whose block it is: "stage `encoder`". States are not settings."""
    found: dict[str, Leaf] = {}
    for parts, setting in _flat(block, (), tree, place, sink):
        leaf = _leaf(parts, setting, tree, place, sink)
        if leaf is None:
            continue
        first = found.setdefault(leaf.key, leaf)
        if first is not leaf:
            sink.add(DuplicateName(leaf.span, leaf.key, first.span, "set").diagnostic())
    return list(found.values())


def _flat(
    block: syntax.Block, above: Parts, tree: KeyTree, place: str, sink: Sink
) -> Iterator[tuple[Parts, syntax.Setting]]:
    for item in block.items:
        if isinstance(item, syntax.State):
            continue
        parts = (*above, *item.key.parts)
        if isinstance(item, syntax.Setting):
            yield parts, item
            continue
        if item.version is not None:
            parts = (*parts, str(item.version))
        if _is_block(parts, item.key.span, tree, place, sink):
            yield from _flat(item.block, parts, tree, place, sink)


def _is_block(parts: Parts, span: Span, tree: KeyTree, place: str, sink: Sink) -> bool:
    found = tree.find(parts)
    if isinstance(found, int):
        _unknown(parts, found, span, tree, place, sink)
        return False
    if isinstance(found, KeySpec):
        key = ".".join(parts)
        sink.add(WrongSetting(span, key, "a value", "a block", f"write `{parts[-1]} = ..`").diagnostic())
        return False
    return True


def _leaf(parts: Parts, setting: syntax.Setting, tree: KeyTree, place: str, sink: Sink) -> Leaf | None:
    found = tree.find(parts)
    span = setting.key.span
    if isinstance(found, int):
        _unknown(parts, found, span, tree, place, sink)
        return None
    if isinstance(found, KeySpec):
        return Leaf(".".join(parts), found, setting)
    inside = next(iter(found))
    hint = f"write `{parts[-1]} {{ {inside} = .. }}`"
    sink.add(WrongSetting(span, ".".join(parts), "a block", "a value", hint).diagnostic())
    return None


def _unknown(parts: Parts, index: int, span: Span, tree: KeyTree, place: str, sink: Sink) -> None:
    inside = f"`{'.'.join(parts[:index])}`" if index else place
    sink.add(UnknownSetting(span, parts[index], inside, tree.allowed(parts[:index])).diagnostic())
