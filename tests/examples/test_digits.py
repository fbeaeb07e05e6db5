"""The digits example: right on scans that its models never saw, through the API and the command."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

import pipectl


def scans(digits):
    return sorted((digits / "data" / "held_out").glob("*.png"))


def executions(metrics: str) -> dict[str, float]:
    """Calls of each node's stage, by node."""
    return {
        sample.labels["node"]: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "pipe_node_executions_total"
    }


def test_vote_is_right_on_held_out_scans_and_batches_form(digits):
    files = scans(digits)
    with pipectl.load(digits / "digits.pipe", profile="cpu") as app:
        answers = list(app["digits"].map(({"image": f.read_bytes()} for f in files), in_flight=64))
        batches = executions(app.metrics())
    labels = np.array([answer["label"] for answer in answers])
    truth = np.array([int(file.stem[-1]) for file in files])
    assert len(files) == 450
    assert (labels == truth).mean() >= 0.95
    assert {tuple(answer["votes"].shape) for answer in answers} == {(2,)}
    assert batches["digits.pixels"] == 450
    assert max(batches["digits.t"], batches["digits.n"], batches["digits.label"]) < 450 / 2


def test_the_pipeline_agrees_with_its_parts_called_by_hand(digits):
    """The same stages in a plain loop: onnxruntime called directly, one scan at a time."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    files = scans(digits)[:40]
    sessions = [onnxruntime.InferenceSession(digits / "models" / f"{name}.onnx") for name in ("trees", "net")]
    with pipectl.load(digits / "digits.pipe") as app:
        answers = list(app["digits"].map({"image": f.read_bytes()} for f in files))
    from PIL import Image

    for file, answer in zip(files, answers):
        features = np.asarray(Image.open(file), np.float32).reshape(1, 64) / np.float32(255)
        votes, probabilities = zip(*(s.run(["label", "probabilities"], {"features": features}) for s in sessions))
        mean = np.mean(probabilities, axis=0)[0]
        assert answer["label"] == mean.argmax()
        assert answer["votes"].tolist() == [int(vote[0]) for vote in votes]
        assert answer["confidence"] == pytest.approx(float(mean.max()), abs=1e-5)


def test_a_file_that_is_no_image_fails_alone(digits):
    good = scans(digits)[0].read_bytes()
    with pipectl.load(digits / "digits.pipe") as app:
        jobs = [app["digits"].submit(image=image) for image in (good, b"not an image", good)]
        with pytest.raises(pipectl.RequestError, match="not an image that Pillow can read") as failure:
            jobs[1].result()
        assert failure.value.grpc_code == "INVALID_ARGUMENT"
        assert jobs[0].result()["label"] == jobs[2].result()["label"]


def test_command_prints_image_label_and_votes(digits, python):
    image = f"image=@{digits / 'data' / 'held_out' / '000?_*.png'}"
    printed = python("-m", "pipectl", "run", digits / "digits.pipe", "--input", image)
    assert "label" in printed
    assert "votes" in printed
    assert len(re.findall(r"000\d_\d\.png", printed)) == 10


def test_command_writes_answers_trace_and_metrics(digits, python, tmp_path):
    answers, trace, metrics = (tmp_path / name for name in ("answers.jsonl", "trace.json", "metrics.prom"))
    images = f"image=@{digits / 'data' / 'held_out' / '*.png'}"
    python(
        *("-m", "pipectl", "run", digits / "digits.pipe", "--profile", "cpu", "--input", images),
        *("--output", answers, "--trace", trace, "--metrics", metrics),
    )
    records = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [record["index"] for record in records] == list(range(450))
    right = [record["outputs"]["label"] == int(Path(record["id"]).stem[-1]) for record in records]
    assert sum(right) >= 0.95 * 450

    calls = executions(metrics.read_text(encoding="utf-8"))
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    slices = Counter(event["name"] for event in events if event["ph"] == "X")
    assert dict(slices) == calls
    arrows = Counter(event["ph"] for event in events if event["ph"] in "sf")
    assert arrows["s"] == arrows["f"] == 450 * 5  # five edges of the graph


def test_accuracy_script(digits, python):
    accuracy = re.search(r"^accuracy (0\.\d{3})$", python(digits / "accuracy.py"), re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) >= 0.95


def test_nothing_of_torch_is_loaded(digits):
    """`make run` installs no torch: the example must not reach for it where it happens to be there."""
    program = (
        "import sys, pipectl\n"
        "pipe, image = sys.argv[1:]\n"
        "with pipectl.load(pipe) as app:\n"
        "    app['digits'](image=open(image, 'rb').read())\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(digits / "digits.pipe"), str(scans(digits)[0])]
    assert subprocess.run(command, check=False).returncode == 0
