"""Programs with constructs, made by hand: `Nest` adds them to a `Build`.

A region is a function that adds nodes, is given refs to what the region is given, and returns what it yields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_dsl import ir
from pipeline_dsl.ir import Given, Operand, Ref
from tests.pipeline_dsl.graphs import Build, type_of

Body = Callable[..., Sequence[Operand]]


@dataclass
class Nest(Build):
    """Every construct takes the types of its results by name, and gives a ref for each."""

    def branch(
        self, name: str, subject: Operand, arms: Mapping[Any, Body], results: Mapping[str, str]
    ) -> tuple[Ref, ...]:
        """`arms`: by a value, a tuple of values, or None for anything else."""
        made = []
        for i, (values, body) in enumerate(arms.items()):
            held = values if isinstance(values, tuple) or values is None else (values,)
            made.append(ir.Arm(held, self._region(name, "else" if held is None else f"case_{i + 1}", {}, body)))
        return self._add(ir.Branch, name, results, subject=subject, arms=tuple(made))

    def route(
        self,
        name: str,
        key: Operand | None,
        arms: Mapping[str, tuple[float, Body]],
        results: Mapping[str, str],
        shadows: Mapping[str, tuple[float, Body]] | None = None,
    ) -> tuple[Ref, ...]:
        made = tuple(ir.RouteArm(arm, share, self._region(name, arm, {}, body)) for arm, (share, body) in arms.items())
        shadow = tuple(
            ir.ShadowArm(arm, share, self._region(name, arm, {}, body))
            for arm, (share, body) in (shadows or {}).items()
        )
        return self._add(ir.Route, name, results, key=key, arms=made, shadows=shadow)

    def map(
        self,
        name: str,
        sources: Mapping[str, tuple[Operand, str]],
        body: Body,
        results: Mapping[str, str],
        **options: Any,
    ) -> tuple[Ref, ...]:
        """`sources`: by the item's name, the source and the item's type."""
        region = self._region(name, "body", {item: type_ for item, (_, type_) in sources.items()}, body)
        operands = tuple(source for source, _ in sources.values())
        return self._add(ir.Map, name, results, sources=operands, body=region, **options)

    def attempt(
        self, name: str, body: Body, fallback: Body, results: Mapping[str, str], err: str = "", **options: Any
    ) -> tuple[Ref, ...]:
        region = self._region(name, "body", {}, body)
        other = self._region(name, "fallback", {err: "json"} if err else {}, fallback)
        return self._add(ir.Try, name, results, body=region, fallback=other, **options)

    def _region(self, construct: str, name: str, given: Mapping[str, str], body: Body) -> ir.Region:
        outer, self.nodes = self.nodes, []
        held = tuple(Given(id=f"{self.name}.{construct}.{name}.{g}", type=type_of(t)) for g, t in given.items())
        yields = tuple(body(*[Ref(g.id, "value") for g in held]))
        nodes, self.nodes = tuple(self.nodes), outer
        return ir.Region(name, held, nodes, yields)

    def _add(self, kind: Any, name: str, results: Mapping[str, str], **fields: Any) -> tuple[Ref, ...]:
        id = f"{self.name}.{name}"
        self.nodes.append(kind(id=id, results=tuple((n, type_of(t)) for n, t in results.items()), **fields))
        return tuple(Ref(id, n) for n in results)
