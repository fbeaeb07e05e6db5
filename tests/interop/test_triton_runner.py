"""The model that an export writes for a python stage, without a Triton server: its tensors, its errors."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from pipectl.__main__ import run

PIPE = """pipe 1

const FACTOR = 3

stage f(text: string[*], facts: json[*], k: i64[*] = 2) -> (loud: string[*], told: json[*], n: i64[*])
  using python("runner_code:f", factor = FACTOR)

pipeline p(text: string[*], facts: json[*], k: i64[*]) -> (loud: string[*], told: json[*], n: i64[*]) {
  loud, told, n = f(text, facts, k)
  return loud, told, n
}
"""
CODE = """
def f(*, text, facts, k, factor):
    if "bad" in list(text):
        raise ValueError("bad text")
    return [t.upper() for t in text], list(facts), k * factor
"""


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self.name, self.array = name, array

    def as_numpy(self) -> Any:
        return self.array


class Response:
    def __init__(self, outputs: Any = (), error: Any = None) -> None:
        self.outputs, self.error = {t.name: t.array for t in outputs}, error


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The exported `model.py`, initialised as Triton does it."""
    (tmp_path / "p.pipe").write_text(PIPE)
    (tmp_path / "runner_code.py").write_text(CODE)
    assert run(["export", "triton", str(tmp_path / "p.pipe"), str(tmp_path / "out")]) == 0
    library = ModuleType("triton_python_backend_utils")
    library.Tensor, library.InferenceResponse, library.TritonError = Tensor, Response, str
    library.get_input_tensor_by_name = lambda request, name: request.get(name)
    monkeypatch.setitem(sys.modules, library.__name__, library)
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "out" / "f" / "1" / "model.py"
    found: dict[str, Any] = {"__file__": str(path), "__name__": "model"}
    exec(compile(path.read_text(), str(path), "exec"), found)
    one = found["TritonPythonModel"]()
    one.initialize({})
    yield one
    one.finalize()


def request(**arrays: Any) -> dict[str, Tensor]:
    return {name: Tensor(name, array) for name, array in arrays.items()}


def texts(*items: bytes) -> Any:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def test_text_and_numbers(model: Any) -> None:
    given = request(text=texts(b"a", "ä".encode()), facts=texts(b'{"x": [1]}', b"null"), k=np.array([1, 2]))
    (answer,) = model.execute([given])
    assert answer.error is None
    assert list(answer.outputs["loud"]) == [b"A", "Ä".encode()]
    assert list(answer.outputs["told"]) == [b'{"x": [1]}', b"null"]
    assert answer.outputs["n"].tolist() == [3, 6]


def test_an_input_that_is_left_out_has_its_default(model: Any) -> None:
    (answer,) = model.execute([request(text=texts(b"a"), facts=texts(b"1"))])
    assert answer.outputs["n"].tolist() == [6]


def test_one_bad_request_fails_alone(model: Any) -> None:
    good = request(text=texts(b"a"), facts=texts(b"1"))
    answers = model.execute([good, request(text=texts(b"bad"), facts=texts(b"1")), good])
    assert [a.error is None for a in answers] == [True, False, True]
    assert "bad text" in answers[1].error


def test_json_that_is_none_fails_alone(model: Any) -> None:
    good = request(text=texts(b"a"), facts=texts(b"1"))
    answers = model.execute([request(text=texts(b"a"), facts=texts(b"{")), good])
    assert [a.error is None for a in answers] == [False, True]
