"""5,000 random programs on two simulated devices and the host: answers equal the interpreter's, nothing is unordered,
nothing is left. `python -m benchmarks.gpu --schedule` counts what they need."""

from __future__ import annotations

import pytest

from .random_dags import quick_collections, run_on_devices

SEEDS, CHUNK = 5_000, 100


@pytest.mark.host  # it moves stages to devices itself
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_answers_equal_the_interpreter(first: int) -> None:
    with quick_collections():
        for seed in range(first, first + CHUNK):
            try:
                run_on_devices(seed)
            except BaseException as error:
                error.add_note(f"seed {seed}: run_on_devices({seed})")
                raise
