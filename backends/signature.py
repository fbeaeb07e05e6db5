"""A python callable against the ports and keys of its stage, before the first call.

Ports are passed by keyword, so each port needs a parameter of its name, and each parameter without a default
needs a port or a key. Answers with a `BackendError` that names the callable's file and line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from pipeline_dsl.plan import StagePlan
from pipeline_dsl.spell import did_you_mean

from .base import BackendError

CONTEXT = "ctx"
"""Name of the parameter that receives the call's context."""

FOLDER = "folder"
"""Name of the parameter of a class that receives the folder of the `.pipe`, unless it is a key."""

_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_call(fn: Callable[..., Any], keys: Iterable[str], stage: StagePlan) -> bool:
    """BackendError if `fn` can not be called with the stage's ports and `keys`. Whether it takes `ctx`."""
    _check_kind(fn, stage)
    ports = [port.name for port in stage.inputs]
    _check_names(fn, [*ports, *keys], "ports" if ports else "keys", stage)
    return CONTEXT in _parameters(fn, stage)


def check_setup(cls: type, keys: Iterable[str], stage: StagePlan) -> None:
    """BackendError if the class can not be built with the stage's keys, or its instances not be called."""
    if "__call__" not in _members(cls):
        raise _error(cls, stage, "has no __call__ method", "define __call__(self, *, <ports>)")
    _check_names(cls, list(keys), "keys", stage)


def with_folder(cls: type, keys: dict[str, Any], stage: StagePlan) -> dict[str, Any]:
    """The keys, and the stage's folder if the class has a parameter for it that no key fills."""
    if FOLDER in keys or FOLDER not in _parameters(cls, stage):
        return keys
    return {**keys, FOLDER: stage.folder}


def place_of(obj: Any) -> str:
    """`name (FILE:LINE)` of a function or class, as far as known."""
    target = inspect.unwrap(obj) if callable(obj) else obj
    name = getattr(target, "__qualname__", type(target).__name__)
    code = getattr(getattr(target, "__func__", target), "__code__", None)
    if code is not None:
        return f"`{name}` ({code.co_filename}:{code.co_firstlineno})"
    try:
        source = target if inspect.isclass(target) else type(target)
        return f"`{name}` ({inspect.getsourcefile(source)}:{inspect.getsourcelines(source)[1]})"
    except (OSError, TypeError):
        return f"`{name}`"


def _members(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in vars(base)}


def _check_kind(fn: Callable[..., Any], stage: StagePlan) -> None:
    body = fn if inspect.isroutine(fn) else getattr(fn, "__call__", fn)  # noqa: B004  # the method itself is examined
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        hint = "make it a plain function; batching and `instances` run calls side by side"
        raise _error(fn, stage, "is `async def`, which stages can not be", hint)
    if inspect.isgeneratorfunction(body) and not any(port.type.stream for port in stage.outputs):
        hint = "return the values, or declare an output as `stream T`"
        raise _error(fn, stage, "is a generator, and the stage has no stream output", hint)


def _check_names(fn: Any, names: list[str], what: str, stage: StagePlan) -> None:
    parameters = _parameters(fn, stage)
    accepts_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    takes = [p.name for p in parameters.values() if p.kind in _KEYWORD and p.name != CONTEXT]
    for name in names:
        if name not in takes and not accepts_any:
            hint = did_you_mean(name, takes) or f"its parameters: {', '.join(takes) or 'none'}"
            sort = "port" if any(p.name == name for p in stage.inputs) else "key"
            raise _error(fn, stage, f"has no parameter for the {sort} `{name}`", hint)
    for parameter in parameters.values():
        if parameter.default is not parameter.empty or parameter.kind in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        ):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise _error(fn, stage, f"takes `{parameter.name}` by position only", f"{what} are passed by name")
        if parameter.name not in names and parameter.name != CONTEXT:
            given = ", ".join(names) or "none"
            message = f"needs `{parameter.name}`, which is no port and no key of the stage ({what}: {given})"
            hint = f"add the port, or give {stage.backend}(..., {parameter.name} = value)"
            raise _error(fn, stage, message, hint)


def _parameters(fn: Any, stage: StagePlan) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(fn).parameters)
    except (ValueError, TypeError) as error:
        raise _error(fn, stage, f"can not be examined: {error}", "wrap it in a plain function") from error


def _error(obj: Any, stage: StagePlan, message: str, hint: str) -> BackendError:
    return BackendError(f"stage `{stage.name}`: {place_of(obj)} {message}", hint)
