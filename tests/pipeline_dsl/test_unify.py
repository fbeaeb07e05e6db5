"""Matching types dim by dim, and what the names in them are then."""

from __future__ import annotations

import pytest

from pipeline_dsl.check.substitution import Substitution
from pipeline_dsl.check.unify import align, kind_mismatch, solve, unify
from pipeline_dsl.sizes import Size, Symbol
from pipeline_dsl.types import Ragged, Sized, Unknown
from tests.rowrules_table import size_of_text, type_of_text


def _unify(want: str, have: str, *, widen: bool = False) -> tuple[str | None, dict[str, str]]:
    aligned = align(type_of_text(want).dims, type_of_text(have).dims)
    assert aligned is not None
    names = Substitution()
    mismatch, _ = unify(aligned.pairs, names, widen=widen)
    return (mismatch.code if mismatch else None), {str(s): str(size) for s, size in names.sizes.items()}


@pytest.mark.parametrize(
    ("want", "have", "code", "sizes"),
    [
        ("f32[3]", "f32[3]", None, {}),
        ("f32[3]", "f32[4]", "E0301", {}),
        ("f32[N, N]", "f32[3, 3]", None, {"N": "3"}),
        ("f32[N, N]", "f32[3, 4]", "E0301", {"N": "3"}),
        ("f32[N, N]", "f32[A, B]", "E0303", {"N": "A"}),
        ("f32[N, 2*N]", "f32[A, A+A]", None, {"N": "A"}),
        ("f32[2*N, N]", "f32[6, 3]", None, {"N": "3"}),
        ("f32[2*N+1]", "f32[9]", None, {"N": "4"}),
        ("f32[2*N]", "f32[9]", "E0301", {}),
        ("f32[N+5]", "f32[3]", "E0301", {}),
        ("f32[N/2]", "f32[3]", "E0301", {}),
        ("f32[N/2]", "f32[A]", None, {}),
        ("f32[2*N]", "f32[A]", None, {"N": "A/2"}),
        ("f32[N*M]", "f32[6]", None, {}),
        ("f32[*, ~L]", "f32[*, ~K]", None, {"L": "K"}),
        ("f32[*, ~L]", "f32[*, K]", "E0301", {"L": "K"}),
        ("f32[*, L]", "f32[*, ~K]", "E0301", {"L": "K"}),
        ("f32[*]", "f32[N]", "E0301", {}),
        ("f32[N]", "f32[*]", "E0301", {}),
        ("f32[N, N]", "f32[?, 3]", None, {}),
        ("f32[?]", "f32[7]", None, {}),
    ],
)
def test_unify(want: str, have: str, code: str | None, sizes: dict[str, str]) -> None:
    assert _unify(want, have) == (code, sizes)


def test_a_plain_size_widens_to_lengths_in_a_call() -> None:
    assert _unify("f32[*, ~L]", "f32[*, K]", widen=True) == (None, {"L": "K"})


@pytest.mark.parametrize(
    ("want", "have", "dims"),
    [
        ("f32[A, B]", "f32[1, 2]", [0, 1]),
        ("f32[A]", "f32[1, 2]", None),
        ("f32[A, ...]", "f32[1, 2, 3]", [0]),
        ("f32[..., A]", "f32[1, 2, 3]", [2]),
        ("f32[A, ..., B]", "f32[1, 2, 3]", [0, 2]),
        ("f32[A, ..., B]", "f32[1, 2]", [0, 1]),
        ("f32[A, ..., B]", "f32[1]", None),
        ("f32[A, B]", "f32[1, ...]", [0]),
        ("f32[A]", "f32[1, 2, ...]", None),
        ("f32[...]", "f32", []),
    ],
)
def test_align(want: str, have: str, dims: list[int] | None) -> None:
    aligned = align(type_of_text(want).dims, type_of_text(have).dims)
    assert (aligned and [p.dim for p in aligned.pairs]) == dims


@pytest.mark.parametrize(
    ("size", "total", "solution"),
    [
        ("N", "7", "7"),
        ("2*N", "8", "4"),
        ("2*N+1", "9", "4"),
        ("10-N", "4", "6"),
        ("N*N", "9", None),
        ("N/2", "3", None),
        ("3*N", "3*K+6", "K+2"),
    ],
)
def test_solve(size: str, total: str, solution: str | None) -> None:
    found = solve(size_of_text(size), Symbol("N"), size_of_text(total))
    assert found == (None if solution is None else size_of_text(solution))


@pytest.mark.parametrize(
    ("want", "have", "code"),
    [
        ("f32", "f32", None),
        ("f32?", "f32", None),
        ("f32", "f32?", "E0309"),
        ("f32", "u8", "E0302"),
        ("string", "stream string", "E0701"),
        ("stream string", "string", "E0702"),
    ],
)
def test_kind(want: str, have: str, code: str | None) -> None:
    found = kind_mismatch(type_of_text(want), type_of_text(have))
    assert (found and found.code) == code


def test_a_free_symbol_is_fresh_at_its_place() -> None:
    names = Substitution("detect, line 3")
    found = names.type(type_of_text("f32[N, 4]"))
    assert str(found) == "f32[N of detect, line 3, 4]"
    assert found == names.type(type_of_text("f32[N, 4]"))
    assert found != Substitution("detect, line 4").type(type_of_text("f32[N, 4]"))


def test_a_lifted_type_loses_rows_and_ragged_dims() -> None:
    names = Substitution("f", rows=None, sizes={Symbol("L"): Size.of(7)})
    assert str(names.type(type_of_text("f32[*, ~L, 4]"))) == "f32[7, 4]"
    assert str(names.type(type_of_text("f32[4, ~L]"))) == "f32[4, ~7]"


def test_an_unknown_size_stays_unknown() -> None:
    names = Substitution("f", unknown={Symbol("N")})
    dims = names.type(type_of_text("f32[N, 2*N, ~N]")).dims
    assert dims[:2] == (Unknown(), Unknown())
    assert isinstance(dims[2], Ragged)
    assert names.type(type_of_text("f32[M]")).dims == (Sized(Size.of(Symbol("M", "f"))),)
