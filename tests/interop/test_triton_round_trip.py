"""Every configuration imports; those without streams, sequences and nesting come back as they were."""

from __future__ import annotations

import pytest

from pipectl.interop.triton.exporting import exported
from pipectl.interop.triton.importing import Entry, imported
from pipectl.interop.triton.overlay import data_of
from pipectl.interop.triton.reading import Place
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.source import Source

from .triton_repository import ENTRIES, checked, text_of, there_and_back, with_callees

NOT_YET = frozenset({"E0599", "W0599"})
"""What is parsed and not run, or read, in this version."""
LOOSE = "W0301"
"""Triton does not say how sizes of an output follow from those of inputs, so what reads it is not checked."""
UNSIGNED = frozenset({"minimal", "outputs_left_out"})
"""Their ports are in the artifact only."""
FLAT = frozenset({"ensemble_of_ensembles"})
"""Comes back as one ensemble: pipelines inside others are written out."""


def test_there_are_fifty_kinds() -> None:
    assert len(ENTRIES) >= 50


@pytest.mark.parametrize("name", ENTRIES)
def test_a_configuration_imports_and_checks(name: str) -> None:
    result = imported(with_callees(name))
    text = text_of(result)
    sink = Sink()
    assert parse(Source("imported.pipe", text), sink) == result.module
    assert not sink.found
    expected = {"E0315"} if name in UNSIGNED else NOT_YET | {LOOSE}
    assert {d.code for d in checked(text)[1]} <= expected


@pytest.mark.parametrize("name", sorted(set(ENTRIES) - UNSIGNED - FLAT))
def test_a_configuration_comes_back_as_it_was(name: str) -> None:
    entries = with_callees(name)
    if {d.code for d in checked(text_of(imported(entries)))[1]} & {"E0599"}:
        pytest.skip("a pipeline with a stream or sequence has no program in this version")
    before, after = there_and_back(entries)
    assert after == before


def test_ensembles_in_ensembles_come_back_written_out() -> None:
    before, after = there_and_back(with_callees("ensemble_of_ensembles"))
    assert set(after) == set(before)
    steps = after["ensemble_of_ensembles"]["ensemble_scheduling"]["step"]
    assert [s["model_name"] for s in steps] == ["cpu_instances", "accelerated", "plain_reject"]
    assert after["ensemble_chain"] == before["ensemble_chain"]


@pytest.mark.parametrize("name", sorted(set(ENTRIES) - UNSIGNED - FLAT))
def test_what_was_exported_imports_to_the_same_text(name: str) -> None:
    entries = with_callees(name)
    text = text_of(imported(entries))
    program, found = checked(text, "triton")
    if program is None:
        assert {d.code for d in found} & {"E0599"}
        pytest.skip("a pipeline with a stream or sequence has no program in this version")
    places = {e.folder: e.place for e in entries}
    again = [Entry(e.folder, data_of(e.config), places[e.folder]) for e in exported(program).entries]
    once = text_of(imported(sorted(again, key=lambda e: [x.folder for x in entries].index(e.folder))))
    assert checked(once, "triton")[0] is not None
    assert once == text


def test_versions_are_those_of_the_folder() -> None:
    data = {**ENTRIES["plain_onnx"].data}
    text = text_of(imported([Entry("m", data | {"name": "m"}, Place("m", (2, 9)))]))
    assert 'onnx("m/{version}/model.onnx", versions = [9])' in text
