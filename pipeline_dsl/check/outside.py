"""Functions that look outside while compiling: `env("X", default)` and `lines("labels.txt")`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pipeline_dsl import syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import EnvironmentMissing, FileUnreadable, NotComputable, ParamRejected
from pipeline_dsl.operations import Problem, Typed, scalar
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Sized

from .scope import Scope
from .spelling import read_text


def environment(expr: syntax.Call, operands: Sequence[Typed | None], scope: Scope, sink: Sink) -> Typed | None:
    """A variable of the environment in the type of its default; a string if it has none."""
    if any(o is None for o in operands):
        return None
    given = [o for o in operands if o is not None]
    if not 1 <= len(given) <= 2 or not isinstance(given[0].value, str):
        usage = 'write `env("NAME")` or `env("NAME", "default")`'
        sink.add(NotComputable(expr.span, "`env` takes the name of a variable and a default", usage).diagnostic())
        return None
    name, default = given[0].value, given[1] if len(given) == 2 else None
    text = scope.options.environ.get(name)
    if text is None:
        if default is None:
            sink.add(EnvironmentMissing(expr.span, name).diagnostic())
        return default
    kind = default.type if default is not None else scalar("string")
    value = read_text(text, kind)
    if isinstance(value, Problem):
        sink.add(ParamRejected(expr.span, name, repr(text), value.text, f"env {name}").diagnostic())
        return None
    return Typed(kind, value)


def lines_of(expr: syntax.Call, operands: Sequence[Typed | None], scope: Scope, sink: Sink) -> Typed | None:
    """The lines of a text file beside the module, without their ends."""
    if len(operands) != 1 or (operands[0] is not None and not isinstance(operands[0].value, str)):
        sink.add(NotComputable(expr.span, '`lines` takes one path: `lines("labels.txt")`').diagnostic())
        return None
    if operands[0] is None:
        return None
    path = os.path.join(scope.folder, operands[0].value)
    try:
        found = scope.options.loader.read(path).text.splitlines()
    except (OSError, ValueError) as error:
        sink.add(FileUnreadable(expr.args[0].span, path, reason(error)).diagnostic())
        return None
    return Typed(scalar("string").with_dims((Sized(Size.of(len(found))),)), found)


def reason(error: OSError | ValueError) -> str:
    """Why a file can not be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
