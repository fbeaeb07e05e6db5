"""Everything that was checked, put together as an `ir.Program`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline_dsl import ir

from .scope import Scope, StageBinding, ValueBinding


def program_of(scope: Scope, graphs: Mapping[str, ir.Graph], schedule: ir.Schedule) -> ir.Program:
    """The program of a main file: its stages and all that its pipelines call."""
    scopes = list(scopes_of(scope))
    return ir.Program(
        path=scope.module.source.path,
        stages=dict(_stages(scopes)),
        pipelines=dict(graphs),
        params=dict(_params(scopes)),
        schedule=schedule,
        profiles=tuple(scope.profiles),
    )


def scopes_of(scope: Scope) -> Iterator[Scope]:
    """The main scope and every scope it imports, each once."""
    seen: dict[int, Scope] = {id(scope): scope}
    todo = [scope]
    while todo:
        here = todo.pop()
        yield here
        for below in here.imported():
            if id(below) not in seen:
                seen[id(below)] = below
                todo.append(below)


def _stages(scopes: list[Scope]) -> Iterator[tuple[str, ir.Stage]]:
    for scope in scopes:
        for found in scope.names.values():
            if isinstance(found, StageBinding):
                yield found.stage.name, found.stage


def _params(scopes: list[Scope]) -> Iterator[tuple[str, ir.ParamValue]]:
    for scope in scopes:
        for found in scope.names.values():
            if isinstance(found, ValueBinding) and found.is_param:
                yield found.name, ir.ParamValue(found.value, found.origin, found.type)
