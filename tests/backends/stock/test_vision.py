"""Stock stages for images, beside Pillow and plain loops."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from backends.stock import resize, vision
from backends.values import InvalidInput

PLENTY = 10**6


def encoded(pixels: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 5), np.cos(y / 7), np.sin((x + y) / 9)], axis=-1)
    return np.clip(127 + 90 * waves + random.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)


class TestDecode:
    def test_a_png_is_its_pixels(self):
        pixels = photo(5, 9)
        assert (vision.decode(file=encoded(pixels), max_pixels=PLENTY) == pixels).all()

    def test_grey_and_palette_files_become_colour(self):
        grey = photo(4, 4)[..., 0]
        assert vision.decode(file=encoded(grey), max_pixels=PLENTY).shape == (4, 4, 3)
        assert (vision.decode_grey(file=encoded(grey), max_pixels=PLENTY) == grey).all()

    def test_an_image_lying_on_its_side_is_turned(self):
        pixels = photo(8, 16)
        exif = Image.Exif()
        exif[0x0112] = 6  # a camera held upright
        turned = vision.decode(file=encoded(pixels, exif=exif), max_pixels=PLENTY)
        assert turned.shape == (16, 8, 3)
        assert (turned == np.rot90(pixels, -1)).all()

    def test_too_many_pixels_are_refused_before_they_are_decoded(self, monkeypatch):
        file = encoded(photo(30, 40))
        monkeypatch.setattr(ImageOps, "exif_transpose", lambda _: pytest.fail("it was decoded"))
        with pytest.raises(InvalidInput, match=r"the image has 40 x 30 pixels, more than max_pixels = 1199"):
            vision.decode(file=file, max_pixels=1199)

    @pytest.mark.parametrize("file", [b"", b"no image", b"\x89PNG\r\n\x1a\n", encoded(photo(64, 64))[:200]])
    def test_what_is_no_whole_image_is_the_callers_fault(self, file):
        with pytest.raises(InvalidInput, match="not an image that Pillow can read"):
            vision.decode(file=file, max_pixels=PLENTY)

    def test_a_damaged_file_never_fails_otherwise(self):
        good = encoded(photo(20, 20), "JPEG")
        random = np.random.default_rng(3)
        for _ in range(200):
            bad = bytearray(good)
            for place in random.integers(0, len(bad), 4):
                bad[place] = random.integers(256)
            try:
                assert vision.decode(file=bytes(bad), max_pixels=PLENTY).dtype == np.uint8
            except InvalidInput:
                pass


class TestResize:
    @pytest.mark.parametrize("size", [(7, 5), (40, 60), (13, 90), (64, 17)])
    @pytest.mark.parametrize("box", [None, (3.5, 2.25, 30.75, 25.5)])
    def test_two_products_do_what_pillow_does(self, size, box):
        image = photo(33, 47)
        expected = resize.resized(image, *size, box)
        found = resize.by_matrices(image, *size, box)
        assert found.shape == (*size, 3)
        assert np.abs(found.astype(int) - expected).max() <= 1

    def test_weights_of_each_pixel_sum_to_one(self):
        for start, stop, out in [(0, 9, 3), (0, 9, 20), (2.5, 3.5, 4)]:
            np.testing.assert_allclose(resize.weights(9, start, stop, out).sum(axis=1), 1, atol=1e-6)


class TestLetterbox:
    @pytest.mark.parametrize(("height", "width"), [(20, 40), (40, 20), (32, 32), (1, 500)])
    def test_the_image_is_centred_on_grey(self, height, width):
        x = vision.letterbox(image=photo(height, width), side=32)
        assert x.shape == (3, 32, 32)
        assert x.dtype == np.float32
        inner_height, inner_width = (
            max(round(height * 32 / max(height, width)), 1),
            round(width * 32 / max(height, width)),
        )
        grey = np.isclose(x, np.float32(114) / 255).all(axis=0)
        top, left = (32 - inner_height) // 2, (32 - inner_width) // 2
        frame = np.ones((32, 32), bool)
        frame[top : top + inner_height, left : left + inner_width] = False
        assert grey[frame].all()
        assert (~grey[~frame]).mean() > 0.9

    def test_boxes_come_back_to_where_they_were(self):
        image = photo(480, 640)
        boxes = np.array([[10, 20, 200, 300], [0, 0, 640, 480]], np.float32)
        in_square = boxes * (320 / 640) + np.array([0, 40, 0, 40], np.float32)
        np.testing.assert_allclose(vision.unletterbox(box=in_square, image=image, side=320), boxes, atol=1e-3)

    def test_boxes_are_cut_at_the_edges(self):
        found = vision.unletterbox(box=np.array([[-50, -50, 999, 999]], np.float32), image=photo(10, 20), side=20)
        assert found.tolist() == [[0, 0, 20, 10]]

    def test_an_image_without_pixels_is_the_callers_fault(self):
        with pytest.raises(InvalidInput, match="no pixels, it is 3 x 0"):
            vision.letterbox(image=np.zeros((0, 3, 3), np.uint8), side=8)


class TestCrop:
    def test_a_box_of_the_size_wanted_is_the_pixels_themselves(self):
        image = photo(30, 30)
        (patch,) = vision.crop(image=image, box=np.array([[4, 6, 12, 14]], np.float32), side=8)
        np.testing.assert_allclose(patch, image[6:14, 4:12].transpose(2, 0, 1) / 255, atol=1e-6)

    def test_boxes_reach_no_further_than_the_image(self):
        image = photo(30, 30)
        over, inside = vision.crop(image=image, box=np.array([[-9, 0, 10, 10], [0, 0, 10, 10]], np.float32), side=6)
        assert (over == inside).all()

    @pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 9, 5, 5], [40, 40, 50, 50], [np.nan, 0, 5, 5]])
    def test_a_box_without_pixels_is_the_callers_fault(self, box):
        with pytest.raises(InvalidInput, match="holds nothing of the image of 30 x 20 pixels"):
            vision.crop(image=photo(20, 30), box=np.array([box], np.float32), side=4)

    def test_no_boxes_give_no_patches(self):
        assert vision.crop(image=photo(9, 9), box=np.zeros((0, 4), np.float32), side=5).shape == (0, 3, 5, 5)


class TestNormalise:
    def test_is_torchvisions_formula(self):
        x = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
        found = vision.normalise(x=x)
        assert found.dtype == np.float32
        for channel, (mean, spread) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
            np.testing.assert_allclose(found[:, channel], (x[:, channel] - mean) / spread, atol=1e-5)


def plain_nms(boxes, scores, overlap, least):
    """The textbook's double loop."""

    def shared(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        both = max(width, 0) * max(height, 0)
        area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
        return both / area if area > 0 else 0

    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if scores[i] >= least and all(shared(boxes[i], boxes[k]) <= overlap for k in kept):
            kept.append(i)
    return kept


class TestNms:
    @pytest.mark.parametrize("seed", range(20))
    def test_is_the_textbooks_loop(self, seed):
        random = np.random.default_rng(seed)
        corner = random.random((60, 2)) * 20
        boxes = np.concatenate([corner, corner + random.random((60, 2)) * 12], axis=1).astype(np.float32)
        scores = random.random(60).astype(np.float32)
        kept, best, index = vision.nms(box=boxes, score=scores, overlap=0.4, least=0.3)
        assert index.tolist() == plain_nms(boxes.astype(float), scores, 0.4, 0.3)
        assert (kept == boxes[index]).all()
        assert (best == scores[index]).all()

    def test_no_boxes_and_scores_that_are_no_numbers(self):
        nothing = vision.nms(box=np.zeros((0, 4), np.float32), score=np.zeros(0, np.float32), overlap=0.5, least=0)
        assert [part.shape for part in nothing] == [(0, 4), (0,), (0,)]
        boxes = np.array([[0, 0, 1, 1], [5, 5, 6, 6]], np.float32)
        _, _, index = vision.nms(box=boxes, score=np.array([np.nan, 0.5], np.float32), overlap=0.5, least=0)
        assert index.tolist() == [1]

    def test_at_most_three_hundred_stay(self):
        corner = np.arange(400, dtype=np.float32)[:, None] * 10
        boxes = np.concatenate([corner, corner, corner + 5, corner + 5], axis=1)
        _, scores, _ = vision.nms(box=boxes, score=np.linspace(0, 1, 400).astype(np.float32), overlap=0.5, least=0)
        assert len(scores) == vision.MOST
        assert (np.diff(scores) <= 0).all()
