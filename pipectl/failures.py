"""What a failure means to the person at the terminal: a text on stderr and an exit code; no traceback
unless asked."""

from __future__ import annotations

import sys
import traceback

import click

from .console import Exit, Session
from .errors import ArtifactError, ConversionError, Hinted, OptionError


def report(error: Exception, session: Session) -> Exit:
    """Tell it on stderr. Compile errors show all diagnostics; an unknown error asks to be reported."""
    if session.debug and not isinstance(error, click.ClickException):
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        return _usage(error, session)
    from executor.errors import LoadError, RequestError
    from pipeline_dsl.diagnostics import CompileError

    if isinstance(error, CompileError):
        return _diagnostics(error, session)
    if isinstance(error, LoadError):
        session.problem(f"stage `{error.stage}`: {error.message}", error.hint)
        return Exit.LOAD
    if isinstance(error, RequestError):
        session.problem(str(error))
        return Exit.RUNTIME
    return _other(error, session)


def _usage(error: click.ClickException, session: Session) -> Exit:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        sys.stderr.write(error.ctx.get_usage() + "\n")
    session.problem(error.format_message(), getattr(error, "hint", ""))
    return Exit.USAGE


def _diagnostics(error: Exception, session: Session) -> Exit:
    from pipeline_dsl import render

    sys.stderr.write(render.text(error.diagnostics, colour=session.paints(sys.stderr)))  # type: ignore[attr-defined]  # a CompileError
    return Exit.LOAD


def _other(error: Exception, session: Session) -> Exit:
    if isinstance(error, Hinted):
        session.problem(str(error), error.hint)
        codes = {OptionError: Exit.USAGE, ConversionError: Exit.LOAD, ArtifactError: Exit.LOAD}
        return codes.get(type(error), Exit.RUNTIME)
    if isinstance(error, ModuleNotFoundError) and error.name == "ml_dtypes":
        session.problem("bf16 needs the package ml-dtypes", "pip install ml-dtypes")
        return Exit.LOAD
    if isinstance(error, OSError) and error.filename:
        session.problem(f"{error.filename}: {error.strerror}")
        return Exit.RUNTIME
    hint = "" if session.debug else "this is a mistake in pipectl; --debug shows where"
    session.problem(f"{type(error).__name__}: {error}", hint)
    return Exit.RUNTIME
