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


@pytest.mark.host
@pytest.mark.parametrize("first", range(0, 500, CHUNK))
def test_also_where_stages_are_kept_to_some_multiprocessors(first: int) -> None:
    """Each stage to all, 16 or 64 of them: those of one size share streams."""
    with quick_collections():
        for seed in range(first, first + CHUNK):
            try:
                run_on_devices(seed, sizes=(0, 16, 64))
            except BaseException as error:
                error.add_note(f"seed {seed}: run_on_devices({seed}, sizes=(0, 16, 64))")
                raise
