"""The brackets around a place in a text that is being written, each with the words before it.

Reads tokens only, from the start of the declaration to the cursor, so it works where the text does not parse. A bracket
that is closed again is one token of what is around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline_dsl.reader.layout import DECLARATIONS
from pipeline_dsl.reader.lexer import Lexeme, lexemes

OPENERS = {"(": ")", "[": "]", "{": "}"}
CLOSERS = frozenset(OPENERS.values())
CLOSED = frozenset(opener + closer for opener, closer in OPENERS.items())
_GOES_ON = frozenset(
    ("=", "+", "-", "*", "/", "%", "??", "->", "==", "!=", "<=", ">=", "<", ">", "and", "or", ",", "{")
)


@dataclass(slots=True)
class Frame:
    """An open bracket, or the file around all of them."""

    opener: str
    head: tuple[str, ...] = ()
    """What stood before the bracket, in its own statement or argument."""
    words: list[str] = field(default_factory=list)
    """The statement, item or argument so far."""
    given: list[str] = field(default_factory=list)
    """Names with `=` behind them, in the items before this one and in it."""
    items: int = 0
    """Commas so far."""
    made: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Names that statements above define, each with the words right of its `=`."""

    def add(self, word: str) -> None:
        if word == "=" and self.words:
            self.given.append(self.words[-1])
        self.words.append(word)

    def end(self) -> None:
        """A statement or item is over."""
        if self.opener == "{" and "=" in self.words:
            at = self.words.index("=")
            targets = _targets(self.words[:at])
            right = tuple(self.words[at + 1 :])
            self.made |= {name: right if len(targets) == 1 else () for name in targets}
        self.words.clear()


def _targets(words: list[str]) -> list[str]:
    """`a` and `b` of `a, b: f32[]`"""
    found, fresh = [], True
    for word in words:
        if fresh and word.isidentifier():
            found.append(word)
        fresh = word == ","
    return found


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the cursor is."""

    frames: tuple[Frame, ...]
    """From the file to the innermost bracket."""
    prefix: str
    """The part of a word before the cursor."""
    inside: str = ""
    """`string` or `comment`, if the cursor is in one."""
    text: str = ""
    """What of the string is before the cursor."""
    fresh: bool = False
    """Whether the cursor is at the start of a line."""

    @property
    def frame(self) -> Frame:
        return self.frames[-1]


def read(text: str, start: int, offset: int) -> Reading:
    """The brackets around an offset; `start` is where a declaration begins."""
    state = _State()
    tokens = list(lexemes(text[start:offset]))
    last = tokens[-1] if tokens else None
    inside, content, prefix = "", "", ""
    if last is not None and start + last.end == offset:
        if last.kind in ("BAD_STRING", "BAD_TEXT", "COMMENT"):
            inside, content = ("comment", "") if last.kind == "COMMENT" else ("string", last.text.lstrip('"'))
            tokens.pop()
        elif last.kind == "NAME":
            prefix = last.text
            tokens.pop()
    for token in tokens:
        state.take(token)
    return Reading(tuple(state.frames), prefix, inside, content, state.newline)


class _State:
    def __init__(self) -> None:
        self.frames = [Frame("")]
        self.newline = True

    def take(self, token: Lexeme) -> None:
        if token.kind == "NEWLINE":
            self._newline()
        elif token.kind == "COMMENT":
            return
        elif token.text in OPENERS:
            self._begin(token.text)
            self.frames.append(Frame(token.text, tuple(self.frames[-1].words)))
        elif token.text in CLOSERS:
            self._close(token.text)
        elif token.text == "," and self.frames[-1].opener != "" and not self._statement():
            self.frames[-1].end()
            self.frames[-1].items += 1
        else:
            self._begin(token.text)
            self.frames[-1].add('""' if token.kind in ("STRING", "TEXT") and len(self.frames) > 1 else token.text)

    def _statement(self) -> bool:
        """Whether a comma belongs to a statement: `a, b = ..`, `return a, b`; in settings it ends an item."""
        frame = self.frames[-1]
        if frame.opener != "{" or not frame.words:
            return False
        return frame.words[0] in ("return", "yield", "case") or "=" not in frame.words or "map" in frame.words

    def _newline(self) -> None:
        frame = self.frames[-1]
        self.newline = True
        if frame.opener == "{" and frame.words and frame.words[-1] not in _GOES_ON:
            frame.end()

    def _begin(self, text: str) -> None:
        """A declaration word at the start of a line, outside of brackets, starts a declaration."""
        if self.newline and len(self.frames) == 1 and text in DECLARATIONS:
            self.frames[0] = Frame("")
        self.newline = False

    def _close(self, text: str) -> None:
        self.newline = False
        if len(self.frames) > 1 and OPENERS[self.frames[-1].opener] == text:
            closed = self.frames.pop()
            self.frames[-1].add(closed.opener + text)
