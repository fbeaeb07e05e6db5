"""Lines of unequal length share padded batches with a mask and still read as if each were alone."""

import io

import numpy as np
import pytest
from PIL import Image

import pipectl


def pages(folder):
    """(image bytes, the numbers drawn on it) of every page."""
    return [
        (file.read_bytes(), file.with_suffix(".txt").read_text(encoding="utf-8").split())
        for file in sorted((folder / "data").glob("*.png"))
    ]


def blank(height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width), 230, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_number_of_every_page_is_read(ocr_like):
    asked = pages(ocr_like)
    with pipectl.load(ocr_like / "ocr_like.pipe", profile="cpu") as app:
        answers = list(app["ocr_like"].map(({"image": image} for image, _ in asked), in_flight=len(asked)))
    assert len(asked) == 12
    assert [list(answer["numbers"]) for answer in answers] == [numbers for _, numbers in asked]


def test_a_page_reads_the_same_alone(ocr_like):
    image, numbers = pages(ocr_like)[0]
    with pipectl.load(ocr_like / "ocr_like.pipe") as app:
        answer = app["ocr_like"](image=image)
    assert list(answer["numbers"]) == numbers
    assert 0.01 < answer["ink"] < 0.5


def test_a_page_without_lines_has_no_numbers_beside_one_that_has(ocr_like):
    image, numbers = pages(ocr_like)[1]
    with pipectl.load(ocr_like / "ocr_like.pipe", profile="cpu") as app:
        empty, full = app["ocr_like"].map([{"image": blank(40, 60)}, {"image": image}])
    assert list(empty["numbers"]) == []
    assert empty["ink"] == 0
    assert list(full["numbers"]) == numbers


def test_the_side_branch_runs_without_the_batched_one(ocr_like):
    with pipectl.load(ocr_like / "ocr_like.pipe") as app:
        answer = app["ocr_like"].submit(image=blank(8, 8), outputs=["ink"]).result()
    assert set(answer) == {"ink"}


def test_a_broken_file_is_the_senders_fault(ocr_like):
    with pipectl.load(ocr_like / "ocr_like.pipe") as app, pytest.raises(pipectl.RequestError) as failure:
        app["ocr_like"](image=b"\x89PNG but no more")
    assert failure.value.grpc_code == "INVALID_ARGUMENT"
