"""Where in the caller's Python file something is written, so that every mistake points there.

`caller()` finds the innermost frame outside of this package and gives the `Place` of the expression it is running.
From the place of a call those of its arguments follow, by looking at the expression's own tree. Where Python keeps
no columns or no source text, a place is a whole line or an empty one; nothing here ever fails.
"""

from __future__ import annotations

import ast
import linecache
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType
from typing import Any

from pipeline_dsl.source import Source, Span

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_SOURCES: dict[str, tuple[list[str], Source]] = {}

NOWHERE = Span(Source("<builder>", ""), 0, 0)
"""The place of what this package itself declares."""


@dataclass(frozen=True, slots=True)
class Place:
    """An expression in a Python file: the text around it, and its node in the tree of that text."""

    whole: Span
    node: ast.AST | None = None

    @property
    def span(self) -> Span:
        """The characters of the expression."""
        return self.whole if self.node is None else _within(self.whole, self.node)

    def argument(self, index: int) -> Place:
        """The positional argument of a call, or the item of a list or tuple."""
        tree = self._tree()
        items = tree.args if isinstance(tree, ast.Call) else getattr(tree, "elts", [])
        if index >= len(items) or any(isinstance(item, ast.Starred) for item in items[: index + 1]):
            return self
        return Place(self.whole, items[index])

    def entry(self, name: str) -> tuple[Span, Place]:
        """The name and the value of a keyword argument, or of an item of a dict."""
        tree = self._tree()
        if isinstance(tree, ast.Call):
            for given in tree.keywords:
                if given.arg == name:
                    start = _within(self.whole, given).start
                    return Span(self.whole.source, start, start + len(name)), Place(self.whole, given.value)
        if isinstance(tree, ast.Dict):
            for key, value in zip(tree.keys, tree.values):
                if isinstance(key, ast.Constant) and str(key.value) == name:
                    return _within(self.whole, key), Place(self.whole, value)
        return self.span, self

    def operand(self, index: int) -> Place:
        """What stands left (0) or right (1) of an operator; what stands before `.x` or `[..]`."""
        match self._tree():
            case ast.BinOp(left=left, right=right):
                found = (left, right)[index]
            case ast.Compare(left=left, comparators=[right]):
                found = (left, right)[index]
            case ast.UnaryOp(operand=operand):
                found = operand
            case ast.Subscript(value=value, slice=subscript):
                found = (value, subscript)[index]
            case ast.Attribute(value=value):
                found = value
            case _:
                return self
        return Place(self.whole, found)

    def operator(self) -> str:
        """`and`, `or`, `not` if this is one of them; `<` for comparisons in a chain; else nothing."""
        match self._tree():
            case ast.BoolOp(op=ast.And()):
                return "and"
            case ast.BoolOp(op=ast.Or()):
                return "or"
            case ast.UnaryOp(op=ast.Not()):
                return "not"
            case ast.Compare(comparators=[_, _, *_]):
                return "<"
            case _:
                return ""

    def _tree(self) -> ast.AST | None:
        return self.node or _parsed(self.whole.text)


@lru_cache(maxsize=512)
def _parsed(text: str) -> ast.AST | None:
    """The tree of an expression; the bracket in front shifts the columns of its first line by one."""
    try:
        return ast.parse(f"({text}\n)", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _within(whole: Span, node: ast.AST) -> Span:
    lines = whole.text.splitlines(keepends=True)

    def offset(line: int, column: int) -> int:
        column -= line == 1
        before = sum(map(len, lines[: line - 1]))
        return whole.start + before + len(lines[line - 1].encode()[:column].decode(errors="ignore"))

    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", None) or 1
    if last > len(lines):
        return whole
    start = offset(first, getattr(node, "col_offset", 1))
    return Span(whole.source, start, offset(last, getattr(node, "end_col_offset", None) or 1))


# ---- frames


def caller_frame() -> FrameType | None:
    """The innermost frame that is not of this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return frame


def caller() -> Place:
    """The expression that the caller is running."""
    frame = caller_frame()
    return Place(NOWHERE if frame is None else _running(frame))


def caller_file() -> str:
    """Path of the caller's file, as Python knows it."""
    frame = caller_frame()
    return "<python>" if frame is None else frame.f_code.co_filename


def visible(name: str) -> Any:
    """What a name means where the caller stands; None if nothing."""
    frame = caller_frame()
    if frame is None:
        return None
    return frame.f_locals.get(name, frame.f_globals.get(name))


def _running(frame: FrameType) -> Span:
    code = frame.f_code
    source = source_of(code.co_filename, frame.f_lineno)
    position = next(islice(code.co_positions(), frame.f_lasti // 2, None), (None,) * 4)
    line, end_line, column, end_column = position
    if line is None or end_line is None or column is None or end_column is None:
        return _line(source, frame.f_lineno)
    if end_line > len(source.line_starts):
        return _line(source, frame.f_lineno)
    span = Span(source, _offset(source, line, column), _offset(source, end_line, end_column))
    return span if span.text.strip() else _line(source, frame.f_lineno)


def _offset(source: Source, line: int, column: int) -> int:
    """Python counts columns in bytes."""
    text = source.line(line).encode()[:column].decode(errors="ignore")
    return source.line_starts[line - 1] + len(text)


def _line(source: Source, number: int) -> Span:
    number = min(number, len(source.line_starts))
    text, start = source.line(number), source.line_starts[number - 1]
    return Span(source, start + len(text) - len(text.lstrip()), start + len(text.rstrip()))


def source_of(path: str, line: int = 1) -> Source:
    """The text of a Python file; empty lines up to the one asked for where there is none."""
    lines = linecache.getlines(path)
    if not lines:
        return Source(path, "\n" * (line - 1))
    known = _SOURCES.get(path)
    if known is None or known[0] is not lines:
        known = _SOURCES[path] = (lines, Source(path, "".join(lines)))
    return known[1]


# ---- functions


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a function is defined."""

    line: Span
    """`def f(x):`"""
    name: Span

    def parameter(self, name: str) -> Span:
        """Where a parameter is declared; the name of the function if that can not be found."""
        source = self.name.source
        found = re.compile(rf"\b{re.escape(name)}\b\s*[:=,)]").search(source.text, self.name.end)
        return self.name if found is None else Span(source, found.start(), found.start() + len(name))


def definition(function: Callable[..., object]) -> Definition:
    """Where a function is defined; what runs, for a callable that is none."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        span = caller().span
        return Definition(span, span)
    source = source_of(code.co_filename, code.co_firstlineno)
    start = _line(source, code.co_firstlineno)
    found = re.compile(r"\bdef\s+(\w+)").search(source.text, start.start)
    if found is None:
        return Definition(start, start)
    line = _line(source, source.line_of(found.start()))
    return Definition(line, Span(source, found.start(1), found.end(1)))
