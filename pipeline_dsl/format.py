"""The one way to lay out a `.pipe` text: `format_text(source)`.

Works on tokens, so comments stay where they are and nothing is ever reordered: line breaks of the author are kept,
blanks and indentation are not. A comma before a closing bracket asks for one item a line. At most one blank line
stands between two lines. Formatting twice changes nothing, and the tree stays the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .diagnostics import CompileError, Sink
from .errors.syntax import WordOnNextLine
from .parse import DIMS, Reading, read_text
from .reader.lexer import lexemes
from .source import BOM, Source
from .spacing import Word, blank

_INDENT = "  "
_OPENERS = frozenset(("(", "[", "{"))
_CLOSERS = frozenset((")", "]", "}"))
_GOES_ON = frozenset(("=", "+", "-", "*", "/", "%", "??", "->", "==", "!=", "<=", ">=", "<", ">", "and", "or"))
_HANGING = {"WHERE": 1, "USING": 1}
_ARROW = 2


@dataclass(slots=True)
class _Item:
    """A token or a comment with what stands before it."""

    word: Word
    comment: bool = False
    starts_line: bool = False
    blank_before: bool = False


def format_text(source: Source) -> str:
    """The text of a source, laid out. CompileError if it does not parse; misplaced line breaks are mended."""
    source = Source(source.path, source.text.removeprefix(BOM).replace("\r\n", "\n"))
    sink = Sink()
    reading = read_text(source, sink)
    mistakes = [d for d in sink.errors if d.code != WordOnNextLine.code]
    if mistakes:
        raise CompileError(sink.errors)
    items = _exploded(_mended(_items(source, reading), reading))
    return "".join(_Writer().lines(items))


# ---- what is there


def _items(source: Source, reading: Reading) -> list[_Item]:
    found: list[_Item] = []
    newlines = 1
    for kind, text, start, _ in lexemes(source.text):
        if kind == "NEWLINE":
            newlines += 1
            continue
        word = Word(reading.types.get(start, kind), text, start)
        found.append(_Item(word, kind == "COMMENT", newlines > 0, newlines > 1))
        newlines = 0
    return found


def _mended(items: list[_Item], reading: Reading) -> list[_Item]:
    """Line breaks that were in the wrong place, moved; comments wait for the next one."""
    found: list[_Item] = []
    waiting: list[_Item] = []
    for item in items:
        wanted = reading.breaks.get(item.word.start)
        if wanted is not None and not item.comment:
            item.starts_line, item.blank_before = wanted, False
        if wanted is False:
            while found and found[-1].comment:
                waiting.insert(0, found.pop())
        elif waiting and (item.starts_line or item.comment):
            found += _trailing(waiting, item)
            waiting = []
        found.append(item)
    return found + _trailing(waiting, None)


def _trailing(comments: list[_Item], following: _Item | None) -> list[_Item]:
    """Comments at the end of a line: the first stays on it."""
    for i, comment in enumerate(comments):
        comment.starts_line, comment.blank_before = i > 0, False
    if comments and following is not None:
        following.starts_line = True
    return comments


def _exploded(items: list[_Item]) -> list[_Item]:
    """Breaks the line at each item of a bracket that ends with a comma."""
    for first, last, commas in _with_last_comma(items):
        for i in (first, *commas):
            _break_behind(items, i)
        items[last].starts_line = True
    return items


def _break_behind(items: list[_Item], i: int) -> None:
    """Starts a line behind an item and the comment that belongs to it."""
    following = items[i + 1]
    if following.comment and not following.starts_line:
        following = items[i + 2]
    following.starts_line = True


def _with_last_comma(items: list[_Item]) -> Iterator[tuple[int, int, list[int]]]:
    """Indices of opening bracket, closing bracket and commas of each such bracket."""
    stack: list[tuple[int, list[int]]] = []
    previous = ""
    for i, item in enumerate(items):
        text = item.word.text
        if item.comment:
            continue
        if text in _OPENERS:
            stack.append((i, []))
        elif text == "," and stack:
            stack[-1][1].append(i)
        elif text in _CLOSERS:
            first, commas = stack.pop()
            if previous == ",":
                yield first, i, commas
        previous = text


def _hugs(above: _Item, below: _Item) -> bool:
    """Whether no blank line may stand between two lines: at the inside of brackets."""
    return above.word.text in _OPENERS or below.word.text in _CLOSERS


# ---- how it is written


@dataclass(slots=True)
class _Bracket:
    kind: str
    inner: int
    """Indentation of lines in it, in steps."""
    line: int


@dataclass(slots=True)
class _Writer:
    """Writes items line by line; knows the brackets that are open."""

    stack: list[_Bracket] = field(default_factory=list)
    previous: Word | None = None
    before: Word | None = None
    indent: int = 0
    number: int = 0

    def lines(self, items: list[_Item]) -> Iterator[str]:
        """The text of all lines."""
        start = 0
        while start < len(items):
            end = start + 1
            while end < len(items) and not items[end].starts_line:
                end += 1
            if start > 0 and items[start].blank_before and not _hugs(items[start - 1], items[start]):
                yield "\n"
            self.indent = self._indentation(items[start:])
            yield self._line(items[start:end])
            start = end

    def _indentation(self, items: list[_Item]) -> int:
        """Of the line that starts with the first item; a comment stands like the line below it."""
        level = self.stack[-1].inner if self.stack else 0
        code = next((item.word for item in items if not item.comment), None)
        if code is None or (items[0].comment and code.text in _CLOSERS):
            return level
        if code.text in _CLOSERS:
            return self._closing(items)
        if code.type in _HANGING and not self.stack:
            return level + _HANGING[code.type]
        if code.text == "->":
            return level + _ARROW
        return level + self._goes_on()

    def _closing(self, items: list[_Item]) -> int:
        """Of a line that starts with closing brackets: that of the line where the last of them was opened."""
        stack = list(self.stack)
        level = 0
        for i, item in enumerate(items):
            if item.word.text not in _CLOSERS or (i and item.starts_line):
                break
            level = stack.pop().inner - 1
        return level

    def _goes_on(self) -> int:
        braces = not self.stack or self.stack[-1].kind == "{"
        return 1 if braces and self.previous is not None and self.previous.text in _GOES_ON else 0

    def _line(self, items: list[_Item]) -> str:
        self.number += 1
        pieces = [_INDENT * self.indent]
        for i, item in enumerate(items):
            if item.comment:
                pieces.append(("  " if i else "") + item.word.text.rstrip())
                continue
            if i and self.previous is not None:
                pieces.append(blank(self.previous, item.word, self.before, [b.kind for b in self.stack]))
            pieces.append(item.word.text)
            self._step(item.word)
        return "".join(pieces).rstrip(" ") + "\n"

    def _step(self, word: Word) -> None:
        if word.text in _OPENERS:
            self._open(word)
        elif word.text in _CLOSERS:
            self.stack.pop()
        self.before, self.previous = self.previous, word

    def _open(self, word: Word) -> None:
        top = self.stack[-1] if self.stack else None
        if word.text == "{" or (top is not None and top.line == self.number):
            base = top.inner if top is not None else 0
        else:
            base = self.indent
        kind = "dims" if word.type == DIMS else word.text
        self.stack.append(_Bracket(kind, base + 1, self.number))
