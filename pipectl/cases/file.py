"""A file of cases, read strictly.

    hello.test.toml --read--> Suite(cases)

    profile = "cpu"                      # optional, as are params
    [params]
    MODELS = "models"

    [[case]]
    name = "greets"                      # optional
    pipeline = "hello"                   # needed where the file has several
    inputs = { name = "Ada" }            # "@scan.png" is a file beside the cases, "@@x" the text "@x"
    expect = { greeting = "Hello, Ada!", length = { value = 11, atol = 1 } }
    nodes.greet = { greeting = "Hello, Ada!" }

    [[case]]
    inputs = { name = "bad" }
    error = { code = "INVALID_ARGUMENT", message = "bad is no name" }

A table in the place of an expected value says more about it: `value`, `rtol`, `atol`, `shape`, `dtype`, `absent`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from pipectl.errors import OptionError

SUFFIX = ".test.toml"


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The error a case wants: its gRPC code, a part of its message, the node it names."""

    code: str = ""
    message: str = ""
    node: str = ""


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of one value."""

    value: Any = msgspec.UNSET
    """Unset: anything."""
    rtol: float | None = None
    atol: float | None = None
    shape: list[int] | None = None
    dtype: str | None = None
    absent: bool = False


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One request and what must come of it."""

    inputs: dict[str, Any] = {}
    expect: dict[str, Any] = {}
    nodes: dict[str, dict[str, Any]] = {}
    """Outputs of calls, by node without the pipeline's name; a list of values where it ran for several items."""
    error: Failure | None = None
    name: str = ""
    pipeline: str | None = None
    timeout: float | None = None
    """Seconds."""
    rtol: float | None = None
    atol: float | None = None


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All cases of one file."""

    case: list[Case]
    profile: str | None = None
    params: dict[str, str | int | float | bool] = {}


def beside(pipe: Path) -> Path:
    """Where the cases of a `.pipe` file are looked for."""
    return pipe.with_name(pipe.stem + SUFFIX)


def read(path: Path) -> Suite:
    """OptionError that names the place in the file if it can not be read or says what is not known."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"can not read `{path}`: {error.strerror}", _hint(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path}: {error}") from None
    try:
        return msgspec.convert(data, Suite)
    except msgspec.ValidationError as error:
        known = ", ".join(Case.__struct_fields__)
        raise OptionError(f"{path}: {error}", f"a case has {known}") from None


def expected(value: Any, place: str) -> Expected:
    """What a case says of one value: a table says it in words, anything else is the value."""
    if not isinstance(value, dict):
        return Expected(value)
    try:
        return msgspec.convert(value, Expected)
    except msgspec.ValidationError as error:
        raise OptionError(f"{place}: {error}", "write an object that is expected as { value = { .. } }") from None


def _hint(path: Path) -> str:
    return f"cases of a pipeline stand beside it, in `{path.name}`" if path.name.endswith(SUFFIX) else ""
