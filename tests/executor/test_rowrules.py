"""The row rules at run time: the same table that the checker passes, with concrete requests in one batch.

A stage gives results of the shapes the table names; what counts is which rows it saw, and which shapes callers got.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import backends
from backends.base import Batch, BatchResult, InstanceConfig
from backends.values import Ragged
from executor import Engine
from executor.clock import ManualClock
from pipeline_dsl import ir
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.planning import build
from pipeline_dsl.types import TensorType
from tests.pipeline_dsl.graphs import HOST, schedule
from tests.rowrules_table import CASES, Case, Element, Shape, signature_of_text, type_of_text

from .gates import PATIENCE

DELAY = 1_000_000
"""Long enough for all requests to come in: the clock is the test's."""

RUNNABLE = [c for c in CASES if c.shapes and not c.code]


def value(type_: TensorType, shape: Shape) -> Any:
    """Zeros of a shape; a ragged dim is a tuple of lengths."""
    dtype = type_.dtype.numpy
    text: Any = "" if type_.dtype.name == "string" else b""
    if not shape:
        return np.zeros((), dtype).item() if type_.dtype.numeric else text
    if any(isinstance(n, tuple) for n in shape):
        count = shape[0]
        assert isinstance(count, int)
        rows = [tuple(n[i] if isinstance(n, tuple) else n for n in shape[1:]) for i in range(count)]
        return [np.zeros(r, dtype) for r in rows]
    made = np.zeros(shape, dtype)
    if not type_.dtype.numeric:
        made[...] = text
    return made


def shape_of(found: Any) -> tuple[Any, ...]:
    """The table's spelling of a result's shape."""
    if isinstance(found, Ragged):
        rows = [found.shape_of(i) for i in range(len(found))]
        inner = tuple(tuple(r[a] for r in rows) for a in range(len(rows[0])))
        return (len(rows), *inner)
    return np.shape(found)


def same_shape(found: tuple[Any, ...], expected: Shape) -> bool:
    return len(found) == len(expected) and all(
        a == b or (isinstance(a, tuple) and set(a) <= {b}) for a, b in zip(found, expected, strict=True)
    )


class Shaped:
    """Backend `shaped`: gives each element's results in order, and keeps the batches."""

    name = "shaped"

    def __init__(self, case: Case) -> None:
        self.case = case
        self.elements = list(case.shapes)
        self.batches: list[Batch] = []
        self.thread_affine = False

    def load(self, stage: StagePlan, config: InstanceConfig) -> Shaped:
        self.stage = stage
        return self

    def execute(self, batch: Batch) -> BatchResult:
        self.batches.append(batch)
        count = 1 if self.case.binding == "each" else len(batch.sizes)
        taken = [self.elements.pop(0) for _ in range(count)]
        return BatchResult(tuple(self._output(i, p, taken) for i, p in enumerate(self.stage.outputs)))

    def _output(self, index: int, port: Any, taken: list[Element]) -> Any:
        type_ = port.type
        shapes = [e.results[index] for e in taken]
        if self.case.binding == "each":
            made = value(type_, shapes[0])
            return Ragged(made) if isinstance(made, list) else made
        if type_.is_ragged:
            rows = [r for s in shapes for r in self._rows(type_, s)]
            return Ragged([np.zeros(r, type_.dtype.numpy) for r in rows])
        lead = [1 if self.case.binding == "lift" else s[0] for s in shapes]
        tail = shapes[0] if self.case.binding == "lift" else shapes[0][1:]
        return np.zeros((sum(lead), *tail), type_.dtype.numpy)  # type: ignore[arg-type]  # plain sizes only

    def _rows(self, type_: TensorType, shape: Shape) -> list[tuple[Any, ...]]:
        if self.case.binding == "lift":
            return [shape]
        count = shape[0]
        assert isinstance(count, int)
        ragged = [isinstance(n, tuple) for n in shape[1:]]
        return [tuple(n[i] if r else n for n, r in zip(shape[1:], ragged)) for i in range(count)]  # type: ignore[index]  # told apart

    def warmup(self) -> None:
        pass

    def close(self) -> None:
        pass


def program(case: Case) -> ir.Program:
    signature = signature_of_text(case.signature)
    stage = ir.Stage("s", signature, "shaped", {}, ir.Contract(), ".")
    arguments = [None if a is None else type_of_text(a) for a in case.arguments]
    ports = [ir.Port(p.name, t) for p, t in zip(signature.inputs, arguments, strict=True) if t is not None]
    results = tuple((p.name, type_of_text(t)) for p, t in zip(signature.outputs, case.results, strict=True))
    args = tuple(
        (p.name, t and ir.Ref(f"p.{p.name}", p.name)) for p, t in zip(signature.inputs, arguments, strict=True)
    )
    nodes: list[ir.AnyNode] = [ir.Input(id=f"p.{p.name}", port=p) for p in ports]
    nodes.append(ir.Call(id="p.s", stage="s", binding=case.binding, args=args, results=results))  # type: ignore[arg-type]  # the table's words
    outputs = [ir.Port(name, t) for name, t in results]
    nodes += [ir.Output(id=f"p.return.{o.name}", port=o, value=ir.Ref("p.s", o.name)) for o in outputs]
    graph = ir.Graph.of("p", ir.Signature(tuple(ports), tuple(outputs)), nodes)
    delay = {"batching.delay": DELAY, "batching.max": 10**6} if case.binding != "each" else {}
    return ir.Program("p.pipe", {"s": stage}, {"p": graph}, {}, schedule(stages={"s": delay}))


@pytest.mark.parametrize("case", RUNNABLE, ids=lambda c: c.name)
def test_shapes(case: Case) -> None:
    backend = Shaped(case)
    backends.register("shaped", lambda: backend)
    clock = ManualClock()
    engine = Engine(build(program(case), HOST), clock)
    engine.start()
    try:
        names = [p.name for p in signature_of_text(case.signature).inputs]
        jobs = []
        for element in case.shapes:
            given = zip(names, case.arguments, element.arguments, strict=True)
            inputs = {n: value(type_of_text(t), s) for n, t, s in given if t is not None and s is not None}
            jobs.append(engine.submit("p", inputs))
        clock.advance(DELAY)
        for element, job in zip(case.shapes, jobs, strict=True):
            response = job.result(PATIENCE)
            for name, expected in zip(response, element.results, strict=True):
                assert same_shape(shape_of(response[name]), expected), name
    finally:
        engine.stop()
    rows = [e.rows for e in case.shapes]
    assert [b.rows for b in backend.batches] == ([1] * len(rows) if case.binding == "each" else [sum(rows)])
