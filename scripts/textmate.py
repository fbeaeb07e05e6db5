"""The TextMate grammar of the VS Code extension, made from the tables the lexer, the parser and the checker use.

`python scripts/textmate.py` writes `editors/vscode/syntaxes/pipe.tmLanguage.json` and the token classes of the samples
that the extension's own test compares with; a test holds all of it to the tables, and `make bless` rewrites it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline_dsl.diagnostics import Sink  # noqa: E402 - the root is on the path from here on
from pipeline_dsl.dtypes import DTYPES  # noqa: E402
from pipeline_dsl.operations import FUNCTIONS  # noqa: E402
from pipeline_dsl.parse import read_text  # noqa: E402
from pipeline_dsl.reader import lexer, tables  # noqa: E402
from pipeline_dsl.reader.layout import DECLARATIONS  # noqa: E402
from pipeline_dsl.reader.reserved import RESERVED  # noqa: E402
from pipeline_dsl.settings import BACKENDS, CONTRACT, PIPELINE, STAGE  # noqa: E402
from pipeline_dsl.source import Source  # noqa: E402

EXTENSION = ROOT / "editors" / "vscode"
NAME = "[A-Za-z_][A-Za-z0-9_]*"
CONSTANTS = frozenset(("true", "false", "null"))
OPERATOR_WORDS = frozenset(("and", "or", "not"))

CONTEXT = {
    "stream": rf"(?=\s+{NAME})",
    "as": rf'(?=\s+(?:{NAME}|"))',
    "using": rf"(?=\s+{NAME}\s*\()",
    "extends": rf"(?=\s+{NAME})",
    "like": rf"(?=\s+{NAME})",
    "where": r"(?=\s+[^\s=:{.])",
    "state": rf"(?=\s+{NAME}\s*:)",
    "case": r"(?=\s+[^\s=:{.,)])",
    "in": r"(?=\s+[^\s=:{.,)])",
    "by": r"(?=\s+[^\s=:{.,)])",
    "with": r"(?=\s*\()",
}
"""What follows a word where it is a keyword; anywhere else it is a name. Words that are reserved need none of this."""

BEFORE = {
    "with": r"(?<=\))\s*",
    "case": r"^\s*",
    "state": r"(?:^|[{,])\s*",
}
"""What stands before it."""


# ---- the grammar


def grammar() -> dict[str, Any]:
    """The whole grammar."""
    first = ["comment", "text", "string", "number", "declaration", "keyword", "constant", "call", "type", "setting"]
    return {
        "$schema": "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json",
        "name": "Pipe",
        "comment": "Made by scripts/textmate.py from the tables of the compiler.",
        "scopeName": "source.pipe",
        "fileTypes": ["pipe"],
        "patterns": [{"include": f"#{name}"} for name in (*first, "operator", "name")],
        "repository": {
            "comment": {"patterns": [_line("##", "documentation"), _line("#", "number-sign")]},
            "text": _quoted('"""', '"""', "triple"),
            "string": _quoted('"', r'"|$', "double"),
            "escape": {"patterns": [_escape(), _placeholder()]},
            "number": {"patterns": [_number(*kind) for kind in _numbers()]},
            "declaration": {"patterns": [_declaration()]},
            "keyword": {"patterns": [*_reserved(), _arm(), *map(_contextual, sorted(CONTEXT))]},
            "constant": {"patterns": [_words(CONSTANTS, "constant.language")]},
            "call": {"patterns": [_call(BACKENDS, "support.class.backend"), _call(FUNCTIONS, "support.function")]},
            "type": {"patterns": [_words(DTYPES, "support.type", not_before=r"\s*[=(]")]},
            "setting": {"patterns": [_setting()]},
            "operator": {"patterns": [{"name": "keyword.operator.pipe", "match": _operators()}]},
            "name": {"patterns": [_function(), {"name": "variable.other.pipe", "match": NAME}]},
        },
    }


def _line(mark: str, name: str) -> dict[str, Any]:
    return {"name": f"comment.line.{name}.pipe", "match": f"{mark}.*$"}


def _quoted(begin: str, end: str, name: str) -> dict[str, Any]:
    return {
        "name": f"string.quoted.{name}.pipe",
        "begin": begin,
        "end": end,
        "patterns": [{"include": "#escape"}],
    }


def _escape() -> dict[str, Any]:
    return {"name": "constant.character.escape.pipe", "match": r"\\."}


def _placeholder() -> dict[str, Any]:
    return {"name": "variable.other.constant.pipe", "match": rf"\$\{{\s*{NAME}(?:\.{NAME})*\s*\}}"}


def _numbers() -> list[tuple[str, str]]:
    """Kind and pattern of each number of the lexer, in its order."""
    pattern = re.sub(r"\s", "", lexer.PATTERN.pattern)
    kinds = ("DURATION", "BYTES", "PERCENT", "FLOAT", "INT")
    found = []
    for kind in kinds:
        start = pattern.index(f"(?P<{kind}>") + len(f"(?P<{kind}>")
        found.append((kind.lower(), pattern[start : _closing(pattern, start)]))
    return found


def _closing(pattern: str, start: int) -> int:
    """Where the group that is open at an offset ends."""
    depth = 1
    for at in range(start, len(pattern)):
        depth += {"(": 1, ")": -1}.get(pattern[at], 0)
        if depth == 0:
            return at
    raise ValueError("the pattern of the lexer has a group that does not end")


def _number(kind: str, pattern: str) -> dict[str, Any]:
    return {"name": f"constant.numeric.{kind}.pipe", "match": pattern}


def _declaration() -> dict[str, Any]:
    """A word that starts a line and what it is followed by: `private pipeline p`, `stage f`, `from "x" import`."""
    words = "|".join(sorted(DECLARATIONS - {"private", "pipe"}, key=lambda w: (-len(w), w)))
    return {
        "match": rf'^\s*(?:(pipe)(?=\s+[0-9])|(private)\s+(pipeline)(?=\s+{NAME})|({words})(?=\s+(?:"|{NAME})))'
        rf'|(?<=")\s*(import)(?=\s+{NAME})',
        "captures": {str(i): {"name": "keyword.declaration.pipe"} for i in range(1, 6)},
    }


def _reserved() -> list[dict[str, Any]]:
    control = RESERVED - CONSTANTS - OPERATOR_WORDS
    return [_words(control, "keyword.control"), _words(OPERATOR_WORDS, "keyword.operator.word")]


def _arm() -> dict[str, Any]:
    """An arm of a `route`: `to stable weight 90%`, `shadow next sample 5%`."""
    return {
        "match": rf"(?:^|\{{)\s*(?:(to)\s+({NAME})\s+(weight)\b|(shadow)\s+({NAME})(?:\s+(sample)\b|(?=\s*\{{)))",
        "captures": {
            str(i): {"name": "variable.other.pipe" if i in (2, 5) else "keyword.other.pipe"} for i in range(1, 7)
        },
    }


def _contextual(word: str) -> dict[str, Any]:
    before = BEFORE.get(word, "")
    behind = r"(?<![.\w])" if not before else ""
    return {
        "match": rf"{before}{behind}\b({word})\b{CONTEXT[word]}",
        "captures": {"1": {"name": "keyword.other.pipe"}},
    }


def _words(words: Any, name: str, not_before: str = "") -> dict[str, Any]:
    choice = "|".join(sorted(words, key=lambda w: (-len(w), w)))
    ahead = f"(?!{not_before})" if not_before else ""
    return {"name": f"{name}.pipe", "match": rf"(?<!\.)\b(?:{choice})\b{ahead}"}


def _call(words: Any, name: str) -> dict[str, Any]:
    return _words(words, name) | {"match": _words(words, name)["match"] + r"(?=\s*\()"}


def _function() -> dict[str, Any]:
    return {"name": "entity.name.function.pipe", "match": rf"\b{NAME}\b(?=\s*(?:@\s*\w+\s*)?\()"}


def _setting() -> dict[str, Any]:
    """Keys of all tables, where a value or a block follows."""
    keys = {part for spec in (*STAGE, *PIPELINE, *CONTRACT) for part in spec.name.split(".") if part != "*"}
    return _words(keys, "support.type.property-name") | {
        "match": _words(keys, "")["match"] + r"(?=\s*(?:=(?!=)|\{|\.[A-Za-z]))"
    }


def _operators() -> str:
    return "|".join(re.escape(text) for text in sorted(tables.operators(), key=lambda t: (-len(t), t)))


# ---- token classes


def classes(text: str, path: str = "<text>") -> list[tuple[int, int, str]]:
    """Start, end and class of each token of a text, by lexer and parser: `comment`, `string`, `number`, `keyword`,
    `name`, `operator`. In a text that does not parse, words are `word`: which are keywords only the parser knows."""
    sink = Sink()
    reading = read_text(Source(path, text), sink)
    whole = not sink.has_errors
    found = []
    for kind, token, start, end in lexer.lexemes(text):
        name = _KINDS.get(kind)
        if kind == "NAME":
            keyword = reading.types.get(start, "NAME") != "NAME" or token in CONSTANTS
            name = ("keyword" if keyword else "name") if whole else "word"
        if name is not None:
            found.append((start, end, name))
    return found


_KINDS = {
    "COMMENT": "comment",
    **dict.fromkeys(("STRING", "TEXT", "BAD_STRING", "BAD_TEXT"), "string"),
    **dict.fromkeys(("DURATION", "BYTES", "PERCENT", "FLOAT", "INT"), "number"),
    "OP": "operator",
}


def lines_of(text: str, path: str = "<text>") -> list[list[list[Any]]]:
    """Classes line by line, as an editor works: columns in UTF-16, a token of several lines in pieces."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found: list[list[list[Any]]] = [[] for _ in starts[:-1]]
    number = 0
    for start, end, name in classes(text, path):
        while starts[number + 1] <= start:
            number += 1
        for line in range(number, len(found)):
            first, last = max(start, starts[line]), min(end, starts[line + 1] - 1)
            if starts[line] >= end:
                break
            if first < last:
                base = text[starts[line] : first]
                found[line].append([_units(base), _units(base + text[first:last]), name])
    return found


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def files() -> dict[Path, str]:
    """Every generated file by its path."""
    made = {EXTENSION / "syntaxes" / "pipe.tmLanguage.json": json.dumps(grammar(), indent=2) + "\n"}
    for sample in sorted((EXTENSION / "test" / "samples").glob("*.pipe")):
        lines = lines_of(sample.read_text(encoding="utf-8"))
        rows = ",\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
        made[sample.with_suffix(".json")] = f"[\n{rows}\n]\n"
    return made


def main() -> int:
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
