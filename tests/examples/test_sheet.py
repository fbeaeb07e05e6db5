"""The numbers on pages of handwritten digits: found, looked at in shared batches, put together."""

import re

import numpy as np
import pytest

import pipectl
from tests.examples.counters import counted


def pages(folder):
    """(image bytes, the numbers on it) of every page."""
    return [
        (file.read_bytes(), file.with_suffix(".txt").read_text(encoding="utf-8").split())
        for file in sorted((folder / "data").glob("*.png"))
    ]


def test_at_least_95_of_100_held_out_digits_are_right(sheet, python):
    printed = python(sheet / "accuracy.py")
    assert len(re.findall(r"sheet_\d.png", printed)) == 6
    share = re.search(r"^digits right (\d\.\d+)$", printed, re.MULTILINE)
    assert share
    assert float(share[1]) >= 0.95


def test_pages_under_way_share_the_batches_of_the_classifier(sheet):
    asked = pages(sheet)
    with pipectl.load(sheet / "sheet.pipe", profile="cpu") as app:
        answers = list(app["sheet"].map({"image": image} for image, _ in asked))
        batches = counted(app.metrics(), "pipe_node_executions_total", "sheet.seen")
        rows = counted(app.metrics(), "pipe_node_rows_total", "sheet.seen")
    digits = sum(len("".join(numbers)) for _, numbers in asked)
    assert rows == sum(len(answer["digits"]) for answer in answers) == digits
    assert batches < digits / 10


def test_a_page_reads_the_same_alone(sheet):
    asked = pages(sheet)[:3]
    with pipectl.load(sheet / "sheet.pipe") as app:
        together = list(app["sheet"].map({"image": image} for image, _ in asked))
        alone = [app["sheet"](image=image) for image, _ in asked]
    for one, other in zip(together, alone):
        assert list(one["numbers"]) == list(other["numbers"])
        np.testing.assert_array_equal(one["boxes"], other["boxes"])


def test_an_empty_page_has_no_numbers_and_asks_no_classifier(sheet):
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (200, 100), 240).save(buffer, "PNG")
    with pipectl.load(sheet / "sheet.pipe") as app:
        answer = app["sheet"](image=buffer.getvalue())
        assert counted(app.metrics(), "pipe_node_rows_total", "sheet.seen") == 0
        with pytest.raises(pipectl.RequestError, match="not an image") as failure:
            app["sheet"](image=b"nothing")
    assert failure.value.grpc_code == "INVALID_ARGUMENT"
    assert list(answer["numbers"]) == []
    assert (answer["boxes"].shape, answer["digits"].shape) == ((0, 4), (0,))
    assert (answer["digits"].dtype, answer["sure"].dtype) == (np.int64, np.float32)


def test_command(sheet, python):
    image = f"image=@{sheet / 'data' / 'sheet_0.png'}"
    printed = python("-m", "pipectl", "run", sheet / "sheet.pipe", "--input", image)
    assert pages(sheet)[0][1][0] in printed
    assert re.search(r"^sheet.seen +75 ", printed, re.MULTILINE)
