"""Blocks of settings to text."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline_dsl import syntax
from pipeline_dsl.literals import is_name, quoted

from .expressions import expression, version_text
from .types import type_text

WIDTH = 100
"""A signature or block longer than this gets one line for each of its items."""


def block_text(block: syntax.Block, wide: bool = False) -> str:
    """On one line if it is short, has nothing nested and is not asked to be `wide`."""
    items = [item_text(item) for item in block.items]
    simple = all(isinstance(item, syntax.Setting) for item in block.items)
    text = f"{{ {', '.join(items)} }}" if items else "{}"
    if not items or (simple and len(text) <= WIDTH and "\n" not in text and not wide):
        return text
    return braces(items)


def braces(lines: Iterable[str]) -> str:
    """Lines between braces."""
    text = "".join(line + "\n" for line in lines)
    return f"{{\n{text}}}" if text else "{}"


def item_text(item: syntax.Setting | syntax.Nested | syntax.State | syntax.Everywhere) -> str:
    """One item of a block or a profile."""
    match item:
        case syntax.Setting():
            return f"{_key(item.key)} = {expression(item.value)}"
        case syntax.Nested():
            return nested_text(item)
        case syntax.Everywhere():
            return f"* {block_text(item.block)}"
        case syntax.State():
            tensors = ""
            if item.tensor_in is not None and item.tensor_out is not None:
                tensors = f" as {quoted(item.tensor_in)} -> {quoted(item.tensor_out)}"
            return f"state {item.name}: {type_text(item.type)}{default_text(item.init)}{tensors}"


def nested_text(item: syntax.Nested) -> str:
    """`batching { .. }`"""
    version = "" if item.version is None else f"@{version_text(item.version)}"
    return f"{_key(item.key)}{version} {block_text(item.block)}"


def _key(key: syntax.Key) -> str:
    if len(key.parts) == 1 and (not is_name(key.parts[0]) or key.parts[0] in ("state", "return", "yield")):
        return quoted(key.parts[0])
    return str(key)


def default_text(value: syntax.Expr | None) -> str:
    """` = value`, or nothing."""
    return f" = {expression(value)}" if value is not None else ""
