"""What may stand at a place in a text that is being written: `Reading` -> `Context`. Knows words, no names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .frames import Frame, Reading

What = Literal[
    "nothing",
    "declaration",
    "word",
    "statement",
    "arm",
    "expression",
    "argument",
    "option",
    "member",
    "type",
    "dim",
    "selector",
    "setting",
    "value",
    "profile",
    "stage",
    "backend",
    "path",
    "imported",
    "placeholder",
]

_OPERATORS = ("=", "+", "-", "*", "/", "%", "??", "==", "!=", "<=", ">=", "<", ">", "and", "or", "not")
_STARTS_VALUE = frozenset(
    (*_OPERATORS, "in", "if", "match", "by", "return", "yield", "case", "weight", "sample", "where", "(", "[", ",", ":")
)
"""Words behind which a value follows."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is asked for. Which fields mean something depends on `what`."""

    what: What
    prefix: str = ""
    words: tuple[str, ...] = ()
    """Before the dot of a member; the callee of an argument; words that may follow; the selector of a setting."""
    path: tuple[str, ...] = ()
    """Blocks around a setting."""
    given: tuple[str, ...] = ()
    """Arguments or settings that are there already."""
    place: str = ""
    """`stage`, `profile`, `using`, `with`, `map`, `try`; the text of a path so far."""
    frames: tuple[Frame, ...] = field(default=(), repr=False)


def context(reading: Reading) -> Context:
    """The context of a cursor."""
    found = _context(reading)
    return Context(found.what, reading.prefix, found.words, found.path, found.given, found.place, reading.frames)


def _context(reading: Reading) -> Context:
    frame = reading.frame
    if reading.inside == "comment":
        return Context("nothing")
    if reading.inside == "string":
        return _string(reading)
    if frame.words[-1:] == ["."]:
        return _member(reading)
    if frame.opener == "":
        return _declaration(frame, reading.fresh)
    if frame.opener == "(":
        return _parenthesis(reading)
    if frame.opener == "[":
        return Context("dim") if _in_type(reading) else _value(frame)
    return _block(reading)


def _string(reading: Reading) -> Context:
    if len(reading.frames) == 1 and reading.frame.words in (["import"], ["from"]):
        return Context("path", place=reading.text)
    opened = reading.text.rfind("${")
    if opened >= 0 and "}" not in reading.text[opened:]:
        return Context("placeholder")
    return Context("nothing")


def dotted(words: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The names at the end of some words that are joined by dots: `= emb.f` gives emb, f."""
    found: list[str] = []
    for i, word in enumerate(reversed(words)):
        if (word == ".") != (i % 2 == 1) or not (word == "." or word.isidentifier()):
            break
        found.append(word)
    names = [w for w in reversed(found) if w != "."]
    return tuple(names)


def _member(reading: Reading) -> Context:
    frame, before = reading.frame, reading.frame.words[:-1]
    where = _place(reading.frames)
    if where in ("stage", "profile") and "=" not in frame.words and frame.opener == "{":
        return _setting(reading, dotted(before))
    if _in_type_slot(frame):
        return Context("member", words=dotted(before), place="type")
    if before[-1:] == ["()"]:
        return Context("member", words=callee(before[:-1]), place="call")
    return Context("member", words=dotted(before))


def callee(words: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The names of what is called: `f`, `emb.f`, `f@4`."""
    if len(words) >= 2 and words[-2] == "@":
        words = words[:-2]
    return dotted(words)


def _declaration(frame: Frame, fresh: bool) -> Context:
    words = frame.words
    if not words:
        return Context("declaration")
    last = words[-1]
    if fresh and last not in _STARTS_VALUE:
        goes_on = ("where", "using") if words[0] == "stage" and "using" not in words else ()
        return Context("declaration", words=goes_on)
    match words[0]:
        case "const" | "param" if _in_type_slot(frame):
            return Context("type")
        case "type" if last in ("=", "stream"):
            return Context("type")
        case "profile" if last in ("extends", ",") and "extends" in words:
            return Context("profile", words=(words[1],))
        case "profile" if len(words) == 2:
            return Context("word", words=("extends",))
        case "from" if last in ("import", ",") and len(words) > 2:
            return Context("imported", place=words[1])
        case "from" | "import" if len(words) == 2:
            return Context("word", words=("import",) if words[0] == "from" else ("as",))
        case "stage" if last == "like":
            return Context("stage")
        case "stage" if last == "using":
            return Context("backend")
        case "private" if len(words) == 1:
            return Context("word", words=("pipeline",))
    return _head(words, last)


def _head(words: list[str], last: str) -> Context:
    """Between the name of a stage or pipeline and its braces."""
    if words[0] == "stage" and "using" not in words and last not in _STARTS_VALUE and len(words) > 1:
        return Context("word", words=("where", "using", *(("like",) if len(words) == 2 else ())))
    return Context("expression") if last in _STARTS_VALUE else Context("nothing")


def _in_type_slot(frame: Frame) -> bool:
    """Whether the words after the last `:` are a type."""
    words = frame.words
    if ":" not in words or "=" in words:
        return False
    return all(w == "." or w == "stream" or w.isidentifier() for w in words[len(words) - words[::-1].index(":") :])


def _in_type(reading: Reading) -> bool:
    """Whether a `[` holds dims."""
    before = reading.frames[-2]
    alias = before.opener == "" and before.words[:1] == ["type"] and "=" in before.words
    return alias or _in_type_slot(before)


def _value(frame: Frame) -> Context:
    last = frame.words[-1] if frame.words else "("
    return Context("expression") if last in _STARTS_VALUE else Context("nothing")


def _parenthesis(reading: Reading) -> Context:
    frame, outer = reading.frame, reading.frames[-2]
    head = frame.head
    if outer.opener == "" and head and head[0] in ("stage", "pipeline", "private") and "using" not in head:
        if _in_type_slot(frame) and frame.words[-1] in (":", "stream"):
            return Context("type")
        return _value(frame) if "=" in frame.words else Context("nothing")
    fresh = not frame.words
    if not fresh and frame.words[-1] not in _STARTS_VALUE:
        return Context("nothing")
    last = head[-1] if head else ""
    if fresh and last in ("with", "map", "try"):
        return Context("option", place=last, given=tuple(frame.given))
    if fresh and (last.isidentifier() or (len(head) > 1 and head[-2] == "@")):
        place = "using" if outer.opener == "" and "using" in head else ""
        given = tuple(frame.given)
        return Context("argument", words=callee(head), given=given, place=place, path=("",) * frame.items)
    return _value(frame)


# ---- braces


def _place(frames: tuple[Frame, ...]) -> str:
    """Which kind of block the innermost `{` is: `body`, `match`, `route`, `stage`, `profile`, `param`, `other`."""
    place = ""
    for frame in frames:
        if frame.opener == "{":
            place = _inner(place, frame.head)
    return place


def _inner(outer: str, head: tuple[str, ...]) -> str:
    if outer == "":
        first = head[0] if head else ""
        return {"private": "body", "pipeline": "body"}.get(first, first)
    if outer in ("stage", "profile", "param"):
        return "other" if head[-1:] in (("=",), ("(",)) else outer
    if outer == "match" or outer == "route":
        return "body"
    after = head[head.index("=") + 1 :] if "=" in head else ()
    if outer == "body" and after:
        for word in reversed(after):
            if word in ("if", "else", "map", "try", "fallback"):
                return "body"
            if word in ("match", "route"):
                return word
    return "other"


def _block(reading: Reading) -> Context:
    frame, words = reading.frame, reading.frame.words
    match _place(reading.frames):
        case "body":
            return _statement(frame)
        case "match":
            return Context("arm", words=("case", "else")) if not words else _value(frame)
        case "route":
            return Context("arm", words=("to", "shadow")) if not words else _route(frame)
        case "stage" | "profile" as place:
            if "=" in words:
                setting = _setting(reading, dotted(words[: words.index("=")]))
                return Context("value", words=setting.words, path=setting.path, place=place)
            if words and place == "stage" and words[0] == "state" and _in_type_slot(frame):
                return Context("type")
            return _setting(reading, ()) if not words else Context("nothing")
    return _value(frame)


def _statement(frame: Frame) -> Context:
    words = frame.words
    if not words:
        return Context("statement")
    if "=" not in words and _in_type_slot(frame) and words[-1] in (":", "stream"):
        return Context("type")
    if words[0] == "return":
        fresh = words[-1] in ("return", ",")
        return Context("statement", place="return") if fresh else _value(frame)
    if words[-1] == "=":
        return Context("expression", place="right")
    return _value(frame)


def _route(frame: Frame) -> Context:
    if len(frame.words) == 2:
        return Context("word", words=("weight",) if frame.words[0] == "to" else ("sample",))
    return _value(frame)


def _setting(reading: Reading, behind: tuple[str, ...]) -> Context:
    """A key: in a stage's block, in a block of a profile, or what a profile is about."""
    braces = [f for f in reading.frames if f.opener == "{"]
    place = "stage" if braces[0].head[:1] == ("stage",) else "profile"
    blocks = [_key(f.head) for f in braces[1:]]
    given = tuple(reading.frame.given)
    if place == "stage":
        path = tuple(name for block in blocks for name in block)
        return Context("setting", path=(*path, *behind), given=given, place=place)
    if not blocks:
        return Context("selector", words=behind, given=given, place=place)
    path = tuple(name for block in blocks[1:] for name in block)
    return Context("setting", words=blocks[0], path=(*path, *behind), given=given, place=place)


def _key(head: tuple[str, ...]) -> tuple[str, ...]:
    """`ranker@4` is ranker, 4; `*` is itself."""
    return tuple(word.strip('"') for word in head if word not in (".", "@"))
