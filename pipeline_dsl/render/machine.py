"""Diagnostics for programs: JSON for editors, workflow commands for GitHub, SARIF 2.1.0 for scanners.

Lines and columns count from 1, columns in characters; ends are exclusive.
"""

from __future__ import annotations

from collections.abc import Iterable
from json import dumps
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.errors import codes
from pipeline_dsl.source import Span

Record = dict[str, Any]


def record(diagnostic: Diagnostic) -> Record:
    """One diagnostic as plain data."""
    return {
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "message": diagnostic.message,
        **_place(diagnostic.span),
        "label": diagnostic.label,
        "labels": [{**_place(label.span), "text": label.text} for label in diagnostic.labels],
        "help": diagnostic.help,
        "notes": list(diagnostic.notes),
    }


def json(diagnostics: Iterable[Diagnostic]) -> str:
    """A JSON list of records."""
    return dumps([record(d) for d in diagnostics], indent=2, ensure_ascii=False) + "\n"


def github(diagnostics: Iterable[Diagnostic]) -> str:
    """Workflow commands: one annotation a line."""
    return "".join(_command(d) + "\n" for d in diagnostics)


def sarif(diagnostics: Iterable[Diagnostic], *, version: str) -> str:
    """A SARIF 2.1.0 log with one run; `version` is that of pipectl."""
    every = list(diagnostics)
    rules = sorted({d.code for d in every})
    driver = {"name": "pipectl", "version": version, "rules": [_rule(code) for code in rules]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, rules.index(d.code)) for d in every],
    }
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return dumps(log, indent=2, ensure_ascii=False) + "\n"


def _place(span: Span) -> Record:
    return {
        "file": span.source.path,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def _command(diagnostic: Diagnostic) -> str:
    span = diagnostic.span
    fields = {"file": span.source.path, "line": span.line, "endLine": span.end_line}
    if span.line == span.end_line:  # GitHub takes columns on one line only
        fields |= {"col": span.column, "endColumn": span.end_column}
    fields["title"] = diagnostic.code
    said = ",".join(f"{name}={_property(str(value))}" for name, value in fields.items())
    message = _data("\n".join(filter(None, (diagnostic.message, diagnostic.label, *_advice(diagnostic)))))
    return f"::{diagnostic.severity} {said}::{message}"


def _advice(diagnostic: Diagnostic) -> list[str]:
    notes = [f"note: {note}" for note in diagnostic.notes]
    return [*notes, f"help: {diagnostic.help}"] if diagnostic.help else notes


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _rule(code: str) -> Record:
    entry = codes().get(code)
    return {"id": code, "shortDescription": {"text": entry.title if entry else code}}


def _result(diagnostic: Diagnostic, rule: int) -> Record:
    message = "\n".join((diagnostic.message, *_advice(diagnostic)))
    related = [{"id": i, **_location(x.span), "message": {"text": x.text}} for i, x in enumerate(diagnostic.labels)]
    result: Record = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": str(diagnostic.severity),
        "message": {"text": message},
        "locations": [_location(diagnostic.span)],
    }
    return {**result, "relatedLocations": related} if related else result


def _location(span: Span) -> Record:
    region = {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }
    uri = quote(PurePath(span.source.path).as_posix())
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
