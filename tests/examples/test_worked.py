"""The six worked examples of the language run, each through the command, and say what is true."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import pipectl
from pipeline_dsl.format import format_text
from pipeline_dsl.source import Source
from tests.examples.counters import counted

CORPUS = Path(__file__).parents[1] / "corpus"
WRITER = 'python("rag.writer:Writer", stop = ["</s>"])'
CHANGES: dict[str, list[tuple[str, str]]] = {
    "embed": [('env("MODELS", "/models")', 'env("MODELS", "models")')],
    "detect": [
        ("import decode, Image", "import decode"),
        ('tensorrt("yolo.plan")', 'python("vision.peaks:Detector", model = "models/peaks.onnx")'),
        ('onnx("resnet50.onnx")', 'onnx("models/resnet50.onnx")'),
    ],
    "canary": [('onnx("ranker/', 'onnx("models/ranker/')],
    "cascade": [
        ('onnx("mobilenet.onnx")', 'onnx("models/mobilenet.onnx")'),
        ('onnx("vit_large.onnx")', 'onnx("models/vit_large.onnx")'),
        ('torch("asr.pt")', 'python("asr.morse:listen")'),
        ("map img in image", "map (max = 256) img in image"),
    ],
    "rag": [
        ('"/data/index"', '"models/index.npz"'),
        (
            'llm("llama-3-8b") {\n  generation { stop = ["</s>"], seed = null }\n}',
            'python("rag.writer:Writer", stop = ["</s>"])',
        ),
        ('torch("guard.pt")', 'python("rag.guard:judge")'),
    ],
    "audio": [
        ('onnx("silero.onnx")', 'onnx("models/silero.onnx")'),
        ('torch("conformer.pt")', 'torch("models/conformer.pt")'),
        ("  sequence { idle = 30s }\n", "  sequence { idle = 30s, slots { max = 256 } }\n"),
    ],
}
"""What had to change in the texts of the language's design, and README.md says why."""


def output(python, tmp_path, worked, name, *arguments) -> list[dict]:
    """The answers of `pipectl run`, as it writes them."""
    file = tmp_path / "answers.jsonl"
    python("-m", "pipectl", "run", worked / f"{name}.pipe", "--output", file, *arguments)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", CHANGES)
def test_the_texts_are_those_of_the_language(worked, name):
    text = (CORPUS / f"{name}.pipe").read_text(encoding="utf-8")
    for old, new in CHANGES[name]:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    if name == "rag":  # settings that only a language model has
        text = re.sub(r"(?s)  llm \{.*?\n  \}\n", "", text)
    assert (worked / f"{name}.pipe").read_text(encoding="utf-8") == format_text(Source(name, text))


def test_1_embed(worked, python, tmp_path):
    texts = 'text=["a cat sleeps", "a kitten naps", "the parliament voted on taxes"]'
    (answer,) = output(python, tmp_path, worked, "embed", "--profile", "cpu", "--input", texts)
    vectors = np.array(answer["outputs"]["embedding"])
    assert vectors.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


def test_2_detect(worked, python, tmp_path):
    pictures = f"jpeg=@{worked / 'data' / 'picture_*.png'}"
    answers = output(python, tmp_path, worked, "detect", "--input", pictures)
    right = total = 0
    for n, answer in enumerate(answers):
        told = json.loads((worked / "data" / f"picture_{n}.json").read_text(encoding="utf-8"))
        found = {cell(box): label for box, label in zip(answer["outputs"]["boxes"], answer["outputs"]["labels"])}
        expected = {cell(box): digit for box, digit in zip(told["boxes"], told["digits"])}
        assert found.keys() == expected.keys()
        right += sum(found[place] == expected[place] for place in expected)
        total += len(expected)
    assert len(answers) == 4
    assert answers[0]["outputs"]["labels"] == []  # nothing is on the first
    assert right >= 0.85 * total > 10


def cell(box) -> tuple[int, int]:
    """Which place of the picture's five by five a box is in."""
    return int((box[0] + box[2]) // 2 // 128), int((box[1] + box[3]) // 2 // 128)


def test_2_crops_of_all_pictures_share_batches(worked):
    images = [file.read_bytes() for file in sorted((worked / "data").glob("picture_*.png"))]
    with pipectl.load(worked / "detect.pipe") as app:
        answers = list(app["detect_and_classify"].map({"jpeg": image} for image in images))
        batches = counted(app.metrics(), "pipe_node_executions_total", "detect_and_classify.c")
    assert 0 < batches < sum(len(answer["labels"]) for answer in answers)


def test_3_canary(worked, python, tmp_path):
    ask = ("--input", "user=hospital patients", "--input", 'item=["Patients reach the hospital by boat", "A cat"]')
    (answer,) = output(python, tmp_path, worked, "canary", *ask)
    assert answer["outputs"]["arm"] in ("stable", "canary")
    assert answer["outputs"]["score"][0] > answer["outputs"]["score"][1] == 0


@pytest.mark.parametrize(("profile", "share"), [(None, 0.1), ("prod", 0.25)])
def test_3_the_profile_says_how_many_get_the_canary(worked, profile, share):
    with pipectl.load(worked / "canary.pipe", profile=profile) as app:
        asked = ({"user": f"user {i}", "item": ["a boat"]} for i in range(400))
        arms = [answer["arm"] for answer in app["rank"].map(asked)]
    assert abs(arms.count("canary") / 400 - share) < 0.06


def test_4_cascade(worked, python, tmp_path):
    (answer,) = output(python, tmp_path, worked, "cascade", "--input", f"image=@{worked / 'data' / 'images.npy'}")
    digits = np.load(worked / "data" / "images_digits.npy")
    found = answer["outputs"]
    assert (np.array(found["label"]) == digits).mean() >= 0.9
    assert {"small", "big"} == set(found["tier"])
    assert found.get("said") is None


def test_4_sound_is_heard_where_it_is_sent(worked):
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("morse_of_worked", worked / "asr" / "morse.py")
    morse = module_from_spec(spec)
    spec.loader.exec_module(morse)
    images = np.load(worked / "data" / "images.npy")[:2]
    with pipectl.load(worked / "cascade.pipe") as app:
        assert app["cascade"](image=images, audio=morse.key("SOS all is well"))["said"] == "SOS ALL IS WELL"
        assert app["cascade"](image=images)["said"] is None


def test_5_rag(worked, python):
    ask = ("--input", "question=How do patients get to a hospital quickly?")
    printed = python("-m", "pipectl", "run", worked / "rag.pipe", *ask)
    assert re.search(r"^ask.a +1 ", printed, re.MULTILINE)


def test_5_words_come_while_the_rest_is_written(worked):
    with pipectl.load(worked / "rag.pipe") as app:
        pieces = list(app["ask"].stream(question="How do patients get to a hospital quickly?"))
        words = [piece["answer"] for piece in pieces if "answer" in piece]
        (sources,) = [piece["sources"] for piece in pieces if "sources" in piece]
        assert len(words) > 3
        assert "".join(words) in set(sources)
        assert any("helicopter" in source for source in sources)
        few = [p["answer"] for p in app["ask"].stream(question="Who visits the island?", max_tokens=2) if "answer" in p]
        refused = list(app["ask"].stream(question="How do I make a weapon?"))
    assert len(few) == 2
    assert [piece["answer"] for piece in refused if "answer" in piece] == ["I can not answer that."]


def test_6_audio(worked, python, tmp_path):
    chunks = worked / "data" / "morse.jsonl"
    printed = python("-m", "pipectl", "run", worked / "audio.pipe", "--jsonl", chunks, "--sequence", "5")
    assert re.search(r"^transcribe.v +98 ", printed, re.MULTILINE)


def test_6_letters_come_as_they_are_keyed_and_sequences_do_not_mix(worked):
    text = (worked / "data" / "morse.txt").read_text(encoding="utf-8").strip()
    lines = (worked / "data" / "morse.jsonl").read_text(encoding="utf-8").splitlines()
    chunks = [np.array(json.loads(line)["pcm"], np.float32) for line in lines]
    silence = np.zeros(1600, np.float32)
    heard = {1: "", 2: ""}
    with pipectl.load(worked / "audio.pipe") as app:
        for i, chunk in enumerate(chunks):
            for id, pcm in ((1, chunk), (2, silence)):
                info = pipectl.SequenceInfo(id, start=i == 0, end=i == len(chunks) - 1)
                answer = app["transcribe"].stream(pcm=pcm, sequence=info)
                heard[id] += "".join(piece.get("partial", "") for piece in answer)
            if i == len(chunks) // 2:
                assert text.startswith(heard[1].strip())
                assert len(heard[1]) > 5
    assert heard == {1: text + " ", 2: ""} or heard == {1: text, 2: ""}
