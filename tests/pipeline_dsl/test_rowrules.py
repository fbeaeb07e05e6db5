"""The row rules against their table, in types and in concrete shapes."""

from __future__ import annotations

import pytest

from pipeline_dsl.check.rowrules import BoundCall, bind
from pipeline_dsl.types import Dim, Ragged, Rows, Sized, TensorType
from tests.rowrules_table import CASES, FRESH, Case, Element, Shape, signature_of_text, type_of_text

ACCEPTED = [c for c in CASES if not c.code]
REFUSED = [c for c in CASES if c.code]


def _bind(case: Case) -> object:
    arguments = [None if a is None else type_of_text(a) for a in case.arguments]
    return bind(signature_of_text(case.signature), arguments, FRESH, frozenset(case.unruled))


def test_table_is_large_and_its_names_are_unique() -> None:
    assert len(CASES) >= 40
    assert len({c.name for c in CASES}) == len(CASES)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda c: c.name)
def test_accepted(case: Case) -> None:
    bound = _bind(case)
    assert isinstance(bound, BoundCall), bound
    assert bound.binding == case.binding
    assert bound.results == tuple(map(type_of_text, case.results))
    assert bound.unchecked == case.unchecked


@pytest.mark.parametrize("case", REFUSED, ids=lambda c: c.name)
def test_refused(case: Case) -> None:
    conflicts = _bind(case)
    assert isinstance(conflicts, tuple), conflicts
    assert [(c.code, c.port, c.other) for c in conflicts] == [(case.code, case.port, case.other)]


@pytest.mark.parametrize("case", [c for c in ACCEPTED if c.shapes], ids=lambda c: c.name)
def test_shapes_are_instances_of_the_types(case: Case) -> None:
    for element in case.shapes:
        sizes: dict[str, object] = {}
        for text, shape in zip(case.arguments, element.arguments, strict=True):
            if text is not None and shape is not None:
                _measure(type_of_text(text), shape, element, sizes)
        shapes = [_shape(type_of_text(text), element, sizes) for text in case.results]
        assert shapes == list(element.results)


def _measure(type_: TensorType, shape: Shape, element: Element, sizes: dict[str, object]) -> None:
    assert len(type_.dims) == len(shape)
    for dim, length in zip(type_.dims, shape, strict=True):
        if isinstance(dim, Rows):
            assert length == element.rows
        elif isinstance(dim, Sized | Ragged) and dim.size.symbol is not None:
            assert sizes.setdefault(dim.size.symbol.name, length) == length


def _shape(type_: TensorType, element: Element, sizes: dict[str, object]) -> Shape:
    first = element.rows if type_.dims and isinstance(type_.dims[0], Rows) else 0
    shape: list[object] = []
    for dim in type_.dims:
        shape.append(first if isinstance(dim, Rows) else _length(dim, shape, sizes))
    return tuple(shape)  # type: ignore[arg-type]  # lengths are ints and tuples of ints


def _length(dim: Dim, before: list[object], sizes: dict[str, object]) -> object:
    assert isinstance(dim, Sized | Ragged)
    value = dim.size.value if dim.size.value is not None else sizes[str(dim.size)]
    rows = before[0] if before else 1
    return (value,) * rows if isinstance(dim, Ragged) and isinstance(value, int) and isinstance(rows, int) else value
