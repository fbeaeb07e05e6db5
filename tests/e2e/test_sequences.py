"""Sequences from a `.pipe` file to answers: python classes, an ONNX file with state, processes that die, commands."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipectl
from executor.errors import RequestError
from pipectl import SequenceInfo
from tests.backends.models import node, onnx_model, value

PYTHON = """
import os

def add(*, x, total):
    if x[0, 0] == 66:
        os._exit(3)
    return x + total, x + total

class Count:
    '''Keeps its own: how many requests of each sequence it has seen.'''
    def __init__(self):
        self.seen = {}

    def __call__(self, *, y, who, first):
        if y[0] == 99:
            os._exit(3)
        self.seen[who] = 1 if first else self.seen[who] + 1
        return self.seen[who]

def words(*, y, said):
    said = said + [float(y[0])]
    for word in said:
        yield f"{word:g}"
    return said
"""
PIPE = """pipe 1

stage add(x: f32[*, 2]) -> (y: f32[*, 2]) using python("MODULE:add") {
  sequence { slots { strategy = oldest, max = 8 } }
  state total: f32[2] = zeros()
}

stage count(y: f32[2], who: string) -> (n: i64) using python("MODULE:Count") {
  sequence { id = "who", start = "first", slots { max = 8 } }
}

pipeline p(x: f32[2]) -> (y: f32[2], n: i64, who: string, first: bool, last: bool) {
  sequence { id = correlation_id }
  a = add(x)
  return y = a, n = count(a), who = correlation_id(), first = sequence_start(), last = sequence_end()
}

profile apart {
  add { isolate = process }
  count { isolate = process }
}
"""


def of(id: int | str, flags: str = "") -> SequenceInfo:
    return SequenceInfo(id, "<" in flags, ">" in flags)


def pair(a: float) -> Any:
    return np.array([a, a], np.float32)


@pytest.mark.parametrize("profile", [None, "apart"])
def test_state_and_what_a_stage_keeps_itself(program: Callable[..., Path], profile: str | None) -> None:
    with pipectl.load(program(PYTHON, PIPE), profile=profile) as app:
        ask = app["p"]
        first = ask(x=pair(1), sequence=of(7, "<"))
        assert (first["y"].tolist(), first["n"], first["who"], first["first"], first["last"]) == (
            [1, 1],
            1,
            "7",
            True,
            False,
        )
        assert ask(x=pair(5), sequence=of("b", "<"))["n"] == 1
        second = ask(x=pair(2), sequence=of(7))
        assert (second["y"].tolist(), second["n"], second["first"]) == ([3, 3], 2, False)
        last = ask(x=pair(3), sequence=of(7, ">"))
        assert (last["y"].tolist(), last["n"], last["last"]) == ([6, 6], 3, True)
        assert ask(x=pair(1), sequence=of("b", ">"))["y"].tolist() == [6, 6]
        assert 'pipe_sequences_ended_total{how="end",pipeline="p"} 2.0' in app.metrics()


def test_outputs_that_nobody_wants_do_not_make_a_state_miss_a_request(program: Callable[..., Path]) -> None:
    with pipectl.load(program(PYTHON, PIPE)) as app:
        ask = app["p"]
        ask(x=pair(1), sequence=of(7, "<"), outputs=["who"])
        ask(x=pair(2), sequence=of(7), outputs=["y"])
        assert ask(x=pair(3), sequence=of(7, ">"))["n"] == 3


def test_a_state_outlives_the_process_and_what_a_stage_kept_itself_does_not(program: Callable[..., Path]) -> None:
    with pipectl.load(program(PYTHON, PIPE), profile="apart") as app:
        ask = app["p"]
        stages: Any = app._engine.stages
        add, count = (s.slots[0].instance for s in stages)
        ask(x=pair(1), sequence=of(7, "<"))
        os.kill(add.pid, signal.SIGKILL)
        assert ask(x=pair(1), sequence=of(7))["y"].tolist() == [2, 2]
        os.kill(count.pid, signal.SIGKILL)
        with pytest.raises(RequestError, match=r"p\.n.*the process of stage `count`|p\.n.*its process") as gone:
            ask(x=pair(1), sequence=of(7))
        assert gone.value.grpc_code == "UNAVAILABLE"
        with pytest.raises(RequestError, match="sequence 7 is over: the process of stage `count` ended"):
            ask(x=pair(1), sequence=of(7))
        assert ask(x=pair(1), sequence=of(7, "<>"))["n"] == 1


def test_a_process_that_dies_at_work_ends_the_sequences_on_it(program: Callable[..., Path]) -> None:
    with pipectl.load(program(PYTHON, PIPE), profile="apart") as app:
        ask = app["p"]
        for id in (1, 2):
            ask(x=pair(1), sequence=of(id, "<"))
        with pytest.raises(RequestError, match="its process"):
            ask(x=pair(98), sequence=of(1))  # 99 there
        for id in (1, 2):
            with pytest.raises(RequestError, match=r"the process of stage `count` ended"):
                ask(x=pair(1), sequence=of(id))
        assert ask(x=pair(1), sequence=of(2, "<>"))["n"] == 1


def test_a_streaming_stage_gives_its_state_with_its_end(program: Callable[..., Path]) -> None:
    pipe = """pipe 1

stage words(y: f32[2]) -> (word: stream string) using python("MODULE:words") {
  state said: json = []
}

pipeline p(x: f32[2]) -> (words: string[N]) {
  sequence { id = correlation_id }
  return words = collect(words(x))
}
"""
    with pipectl.load(program(PYTHON, pipe)) as app:
        ask = app["p"]
        assert ask(x=pair(1), sequence=of(7, "<"))["words"].tolist() == ["1"]
        assert ask(x=pair(2), sequence=of(7))["words"].tolist() == ["1", "2"]
        assert ask(x=pair(3), sequence=of(7, ">"))["words"].tolist() == ["1", "2", "3"]


def test_an_onnx_file_with_state_and_control_tensors(folder: Path) -> None:
    """y = hn = x + (1 - START) * h0: the file itself forgets when a sequence begins."""
    onnx_model(
        folder / "sums.onnx",
        [
            node("Sub", "one START", "keeps"),
            node("Mul", "keeps h0", "kept"),
            node("Add", "x kept", "y"),
            node("Identity", "y", "hn"),
        ],
        [value("x", "f32", ["N", 4]), value("START", "f32", ["N", 1]), value("h0", "f32", ["N", 4])],
        [value("y", "f32", ["N", 4]), value("hn", "f32", ["N", 4])],
        [one()],
    )
    (folder / "s.pipe").write_text("""pipe 1

stage sums(x: f32[*, 4]) -> (y: f32[*, 4]) using onnx("sums.onnx") {
  sequence { start = "START", slots { strategy = direct, max = 4 } }
  state h: f32[4] = 0.5 as "h0" -> "hn"
}

pipeline p(x: f32[4]) -> (y: f32[4]) {
  sequence { id = correlation_id }
  return y = sums(x)
}
""")
    with pipectl.load(folder / "s.pipe") as app:
        ask = app["p"]
        x = np.ones(4, np.float32)
        found = [
            ask(x=x, sequence=of(id, flags))["y"][0] for id, flags in [(1, "<"), (2, "<"), (1, ""), (2, ">"), (1, ">")]
        ]
        assert found == [1, 1, 2, 2, 3]


def one() -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])


def test_arms_by_the_correlation_id_and_stages_in_arms(program: Callable[..., Path]) -> None:
    pipe = """pipe 1

stage add(x: f32[*, 2]) -> (y: f32[*, 2]) using python("MODULE:add") {
  sequence { slots { max = 8 } }
  state total: f32[2] = zeros()
}

pipeline p(x: f32[2], loud: bool) -> (y: f32[2]) {
  sequence { id = correlation_id }
  y = if loud or sequence_end() {
    z = route by correlation_id() {
      to a weight 50% { yield add(x) }
      to b weight 50% { yield add(x) }
    }
    yield z
  } else {
    yield x
  }
  return y
}
"""
    with pipectl.load(program(PYTHON, pipe)) as app:
        ask = app["p"]
        for id in (1, 2, 3, 4):
            said = [
                ask(x=pair(1), loud=loud, sequence=of(id, flags))["y"][0]
                for loud, flags in [(False, "<"), (True, ""), (False, ""), (True, ""), (False, ">")]
            ]
            assert said == [1, 1, 1, 2, 3]


# ---- the command


def test_a_run_is_one_sequence(program: Callable[..., Path], call: Callable[..., Any]) -> None:
    done = call(
        "run",
        program(PYTHON, PIPE),
        "--input",
        "x=[1,1]",
        "--input",
        "x=[2,2]",
        "--sequence",
        "id=7",
        "--format",
        "json",
    )
    found = [json.loads(line)["outputs"] for line in done.out.splitlines()]
    assert [(f["y"], f["n"], f["who"], f["first"], f["last"]) for f in found] == [
        ([1, 1], 1, "7", True, False),
        ([3, 3], 2, "7", False, True),
    ]
    assert done.code == 0


def test_lines_say_which_sequence_they_belong_to(
    program: Callable[..., Path], call: Callable[..., Any], folder: Path
) -> None:
    lines = [
        {"x": [1, 1], "sequence": {"id": 1, "start": True}},
        {"x": [5, 5], "sequence": {"id": "b", "start": True, "end": True}},
        {"x": [1, 1], "sequence": {"id": 1, "end": True}},
        {"x": [1, 1], "sequence": {"id": 1}},
        {"x": [1, 1], "sequence": {"id": 1, "begin": True}},
        {"x": [1, 1]},
    ]
    (folder / "lines.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = call("run", program(PYTHON, PIPE), "--jsonl", "lines.jsonl", "--format", "json")
    found = [json.loads(line) for line in done.out.splitlines()]
    assert [f["outputs"]["y"][0] for f in found[:3]] == [1, 5, 2]
    assert "sequence 1 is over: it was ended" in found[3]["error"]["message"]
    assert '`sequence` is {"id": .., "start": .., "end": ..}' in found[4]["error"]["message"]
    assert "takes requests of sequences only" in found[5]["error"]["message"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "takes requests of sequences: give --sequence ID"),
        (("--sequence", "7,begin"), "`7,begin` is not ID[,start][,end]"),
        (("--sequence", "id="), "`id=` is not ID[,start][,end]"),
    ],
)
def test_the_command_says_what_it_needs(
    program: Callable[..., Path], call: Callable[..., Any], options: tuple[str, ...], said: str
) -> None:
    done = call("run", program(PYTHON, PIPE), "--input", "x=[1,1]", *options)
    assert done.code == 2
    assert said in done.err


def test_a_sequence_that_was_only_begun_is_told_so(program: Callable[..., Path], call: Callable[..., Any]) -> None:
    done = call("run", program(PYTHON, PIPE), "--input", "x=[1,1]", "--sequence", "7,end", "--format", "json")
    assert "there is no sequence 7" in done.out
    assert done.code == 4


AUDIO = """pipe 1

type Chunk = f32[8]

stage vad(pcm: Chunk) -> (speech: bool, prob: f32) using python("MODULE:Vad") {
  sequence {
    start = "START"
    end   = "END"
    idle  = 30s
    slots { strategy = oldest, max = 4, delay = 2ms }
  }
  state h: f32[2, 1, 4] = zeros() as "h0" -> "hn"
}

stage encoder(pcm: Chunk) -> (feats: f32[T, 2]) using python("MODULE:encode") {
  sequence { idle = 30s, slots { strategy = direct, max = 4 } }
  state cache: f32[3, C, 2] = zeros()
}

stage decode(feats: f32[T, 2], last: bool) -> (partial: stream string) using python("MODULE:decode") {
  sequence { idle = 30s, slots { max = 4 } }
  state hyp: json = null
}

pipeline transcribe(pcm: Chunk) -> (partial: stream string, speech: bool) {
  sequence { id = correlation_id }
  v = vad(pcm)
  partial = if v.speech or sequence_end() {
    yield decode(encoder(pcm), last = sequence_end()).partial
  } else {
    yield stream_of()
  }
  return partial, speech = v.speech
}
"""
AUDIO_STAGES = """
import numpy as np

class Vad:
    def __call__(self, *, pcm, START, END, h):
        assert START == (not h.any())
        loud = bool(pcm[0] > 0)
        return loud, float(pcm[0]), h + 1

def encode(*, pcm, cache):
    grown = np.concatenate([cache, np.full((3, 1, 2), pcm[0], np.float32)], axis=1)
    return np.ascontiguousarray(grown[0]), grown

def decode(*, feats, last, hyp):
    words = [f"{v:g}" for v in feats[:, 0]]
    for word in words[len(hyp or []):]:
        yield word
    if last:
        yield "."
    return words
"""


def test_the_worked_example_of_speech(program: Callable[..., Path]) -> None:
    """Audio in chunks: silence costs no encoder, what is said comes as a stream, states live from chunk to chunk."""
    with pipectl.load(program(AUDIO_STAGES, AUDIO)) as app:
        ask = app["transcribe"]

        def said(volume: float, flags: str = "", id: int = 7) -> tuple[bool, list[str]]:
            answer = ask(pcm=np.full(8, volume, np.float32), sequence=of(id, flags))
            return answer["speech"], list(answer["partial"])

        assert said(0, "<") == (False, [])
        assert said(3) == (True, ["3"])
        assert said(9, "<", id=8) == (True, ["9"])
        assert said(0) == (False, [])
        assert said(5) == (True, ["5"])
        assert said(4, ">", id=8) == (True, ["4", "."])
        assert said(0, ">") == (False, ["0", "."])
        assert "pipe_sequences_open" in app.metrics()


def test_a_request_stays_in_its_sequence_until_its_stream_has_ended(program: Callable[..., Path]) -> None:
    """The next request of the id begins when the one before has ended, and so finds its state."""
    with pipectl.load(program(AUDIO_STAGES, AUDIO)) as app:
        ask = app["transcribe"]
        chunk = np.ones(8, np.float32)
        first = ask.submit(pcm=chunk, sequence=of(7, "<"))
        second = ask.submit(pcm=2 * chunk, sequence=of(7, ">"))
        assert list(first.result(10)["partial"]) == ["1"]
        assert list(second.result(10)["partial"]) == ["2", "."]


def test_a_second_attempt_begins_from_the_state_before_the_first(program: Callable[..., Path]) -> None:
    pipe = """pipe 1

stage add(x: f32[*, 2]) -> (y: f32[*, 2]) using python("MODULE:add") {
  sequence { slots { max = 8 } }
  state total: f32[2] = zeros()
}
stage flaky(y: f32[2]) -> (z: f32[2]) using python("MODULE:Flaky")

pipeline p(x: f32[2]) -> (y: f32[2]) {
  sequence { id = correlation_id }
  y = try (retries = 1) {
    yield flaky(add(x))
  } fallback {
    yield x
  }
  return y
}
"""
    flaky = """

class Flaky:
    def __init__(self):
        self.calls = 0

    def __call__(self, *, y):
        self.calls += 1
        if self.calls % 2:
            raise ValueError("the first time")
        return y
"""
    with pipectl.load(program(PYTHON + flaky, pipe)) as app:
        ask = app["p"]
        found = [ask(x=pair(v), sequence=of(7, flags))["y"][0] for v, flags in [(1, "<"), (2, ""), (3, ">")]]
        assert found == [1, 3, 6]
