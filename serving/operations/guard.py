"""The check that stands before every operation."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast

from serving.access import GROUPS, Caller

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
Method = Callable[Concatenate[S, Caller, P], R]


def guarded(group: str) -> Callable[[Method[S, P, R]], Method[S, P, R]]:
    """Only callers whose token is for `group` come in; a method's first argument after `self` is the caller."""
    assert group in GROUPS, group

    def decorate(method: Method[S, P, R]) -> Method[S, P, R]:
        @wraps(method)
        def checked(self: S, caller: Caller, *args: P.args, **kwargs: P.kwargs) -> R:
            if group not in caller.groups:
                caller.require(group)
            return method(self, caller, *args, **kwargs)

        checked.group = group  # type: ignore[attr-defined]  # for the test that no operation is without one
        return cast("Method[S, P, R]", checked)

    return decorate
