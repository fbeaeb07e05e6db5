"""Requests of sequences as clients of the v2 protocol send them: `sequence_id`, `sequence_start`, `sequence_end`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from executor.errors import RequestError
from serving.access import ANYONE
from serving.operations import Operations
from serving.tensors import InferAnswer, Parameter

from .attacks import rows, x
from .live import Live, live
from .programs import running

PIPE = """pipe 1

stage same(x: f32[*, 4]) -> (x: f32[*, 4]) using null() {
  sequence { slots { max = 2 } }
  state h: f32[2] = zeros()
}

pipeline rows(x: f32[*, 4]) -> (y: f32[*, 4], who: string, last: bool) {
  sequence { id = correlation_id }
  return y = same(x), who = correlation_id(), last = sequence_end()
}
"""

Server = Live[Operations]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    path: Path = tmp_path_factory.mktemp("serving") / "sequence.pipe"
    path.write_text(PIPE)
    with live(running(path)) as found:
        yield found


def ask(server: Server, **parameters: Parameter) -> InferAnswer:
    return server.run(server.value.inference.infer(ANYONE, replace(rows(x()), parameters=parameters)))


def last(answer: InferAnswer) -> bool:
    """What `sequence_end()` was."""
    return bool(np.asarray(next(t.data for t in answer.outputs if t.name == "last")).reshape(-1)[0])


@pytest.mark.parametrize("id", [7, "a"])
def test_a_sequence_from_start_to_end(server: Server, id: int | str) -> None:
    assert not last(ask(server, sequence_id=id, sequence_start=True))
    assert not last(ask(server, sequence_id=id))
    assert last(ask(server, sequence_id=id, sequence_end=True))
    with pytest.raises(RequestError, match="is over: it was ended") as refused:
        ask(server, sequence_id=id)
    assert refused.value.grpc_code == "INVALID_ARGUMENT"


def test_a_request_of_no_sequence_is_refused(server: Server) -> None:
    with pytest.raises(RequestError, match="takes requests of sequences only"):
        ask(server)
