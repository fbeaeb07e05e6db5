"""A work as a chain of mosec's: each step a worker process with batches of its own.

    python -m benchmarks.serving.mosec_chain WORK        (with the interpreter of .peers/mosec/venv)

A request is JSON, `{"x": [..]}` or `{"text": ".."}`; the answer is the output's bytes. Between workers a request is a
dict of rows, which mosec pickles. MOSEC_PORT says where it listens.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from mosec import Server, Worker  # type: ignore[import-not-found]  # in an environment of its own

from .bare import loaded
from .works import WORKS, Step, Work

DTYPES = {"FP32": np.float32, "INT64": np.int64}


def worker(work: Work, step: Step) -> type[Worker]:
    """The class of a step."""
    first, last = step is work.steps[0], step is work.steps[-1]

    class Chained(Worker):  # type: ignore[misc]  # as above
        def __init__(self) -> None:
            super().__init__()
            self.function = loaded(step)

        def deserialize(self, data: bytes) -> Any:
            given = super().deserialize(data)[work.input]
            value = work.values[work.input]
            return {work.input: given if value.datatype == "BYTES" else np.array(given, DTYPES[value.datatype])}

        def serialize(self, data: Any) -> bytes:
            return bytes(data[work.output].tobytes())

        def forward(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
            made = self.function(**{p: column([row[name] for row in data]) for p, name in step.takes.items()})
            outputs = made if len(step.gives) > 1 else (made,)
            return [{**kept(row), **dict(zip(step.gives, values))} for row, *values in zip(data, *outputs)]

    def kept(row: dict[str, Any]) -> dict[str, Any]:
        """What later steps need of what came."""
        later = work.steps[work.steps.index(step) + 1 :]
        return {name: value for name, value in row.items() if any(name in s.takes.values() for s in later)}

    def column(rows: list[Any]) -> Any:
        return np.array(rows, object) if isinstance(rows[0], str) else np.stack(rows)

    if not first:
        del Chained.deserialize
    if not last:
        del Chained.serialize
    return Chained


def main(name: str) -> None:
    work = WORKS[name]
    del sys.argv[1:]  # mosec reads what is left
    server = Server()
    for step in work.steps:
        wait = max(1, work.delay_us // 1000)
        server.append_worker(
            worker(work, step), num=step.instances, max_batch_size=32, max_wait_time=wait, start_method="fork"
        )
    server.run()


if __name__ == "__main__":
    main(sys.argv[1])
