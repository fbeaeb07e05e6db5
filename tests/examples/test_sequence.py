"""Recordings in pieces: the state makes them whole, and those side by side never mix."""

import re

import numpy as np
import pytest

import pipectl

PIECE = 800


def recording(folder, name):
    return np.load(folder / "data" / f"{name}.npz")


def filtered(folder, pcm):
    """The whole recording through the taps at once."""
    onnx = pytest.importorskip("onnx", reason="the examples extra is not installed")
    model = onnx.load(folder / "models" / "dehum.onnx")
    taps = next(onnx.numpy_helper.to_array(i) for i in model.graph.initializer if i.name == "taps").ravel()
    return np.convolve(pcm, taps[::-1])[: len(pcm)]


def ask(app, name, pieces, order):
    """Sends the pieces of several recordings in an order of their names; the answers of each."""
    sent = dict.fromkeys(pieces, 0)
    jobs = {key: [] for key in pieces}
    for key in order:
        i = sent[key]
        info = pipectl.SequenceInfo(key, start=i == 0, end=i == len(pieces[key]) - 1)
        jobs[key].append(app[name].submit(pcm=pieces[key][i], sequence=info))
        sent[key] += 1
    return {key: [job.result() for job in asked] for key, asked in jobs.items()}


@pytest.fixture(scope="module")
def app(sequence):
    with pipectl.load(sequence / "sequence.pipe") as app:
        yield app


def test_pieces_in_any_order_between_recordings_are_filtered_as_wholes(sequence, app):
    pieces = {name: recording(sequence, name)["pcm"].reshape(-1, PIECE) for name in ("one", "two")}
    order = np.random.default_rng(0).permutation([name for name, held in pieces.items() for _ in held]).tolist()
    answers = ask(app, "listen", pieces, order)
    for name, found in answers.items():
        clean = np.concatenate([answer["clean"] for answer in found])
        np.testing.assert_allclose(clean, filtered(sequence, recording(sequence, name)["pcm"]), atol=1e-4)


def test_speech_is_heard_one_piece_late_and_nowhere_else(sequence, app):
    for name in ("one", "two"):
        made = recording(sequence, name)
        pieces = {name: made["pcm"].reshape(-1, PIECE)}
        heard = [answer["speech"] for answer in ask(app, "listen", pieces, [name] * len(made["speech"]))[name]]
        assert heard[1:] == made["speech"][:-1].tolist()


def test_a_recording_begins_without_what_was_before(sequence, app):
    """The same pieces twice under one id: the second time is no continuation of the first."""
    pieces = {"again": recording(sequence, "one")["pcm"].reshape(-1, PIECE)[:5]}
    first, second = (ask(app, "listen", pieces, ["again"] * 5)["again"] for _ in range(2))
    np.testing.assert_array_equal(first[0]["clean"], second[0]["clean"])


def test_a_request_without_an_id_is_refused(sequence, app):
    with pytest.raises(pipectl.RequestError) as failure:
        app["listen"](pcm=np.zeros(PIECE, np.float32))
    assert failure.value.grpc_code == "INVALID_ARGUMENT"


def test_script(sequence, python):
    printed = python(sequence / "listen.py")
    lines = re.findall(r"^(one|two): ([.#]{30})  hum (\d\.\d+) -> (\d\.\d+)$", printed, re.MULTILINE)
    assert [name for name, *_ in lines] == ["one", "two"]
    assert all(float(after) < float(before) / 50 for *_, before, after in lines)


def test_command(sequence, python):
    pieces = ("--jsonl", sequence / "data" / "one.jsonl", "--sequence", "7")
    printed = python("-m", "pipectl", "run", sequence / "sequence.pipe", *pieces)
    assert re.search(r"^listen.clean +30 +30 ", printed, re.MULTILINE)
    assert printed.count(" true ") == 11
