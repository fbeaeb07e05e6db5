"""Images: the stages of `@std/vision.pipe`. Files are decoded by Pillow, which reads them before it trusts them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from backends.values import InvalidInput

from .arrays import namespace, on_host
from .resize import resized

Array = Any
"""Of numpy or CuPy."""

GREY = 114
"""What `letterbox` fills with: the grey that the YOLO family is trained with."""
MOST = 300
"""Boxes that `nms` keeps at most."""
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
SPREAD = np.array([0.229, 0.224, 0.225], np.float32)


def decode(*, file: bytes, max_pixels: int) -> Array:
    """A file -> u8[H, W, 3]. InvalidInput if Pillow can not read it, or if it has too many pixels."""
    return _decoded(file, max_pixels, "RGB")


def decode_grey(*, file: bytes, max_pixels: int) -> Array:
    """A file -> u8[H, W]."""
    return _decoded(file, max_pixels, "L")


def _decoded(file: bytes, max_pixels: int, mode: str) -> Array:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(file)) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise InvalidInput(f"the image has {width} x {height} pixels, more than max_pixels = {max_pixels}")
            return np.asarray(ImageOps.exif_transpose(image).convert(mode))
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise what they meet on the way through a broken file
        raise InvalidInput(f"not an image that Pillow can read: {str(error) or type(error).__name__}") from error


def letterbox(*, image: Array, side: int) -> Array:
    """u8[H, W, 3] -> f32[3, side, side]."""
    height, width, left, top = _fitted(image, side)
    xp = namespace(image)
    square = xp.full((side, side, 3), GREY, xp.uint8)
    square[top : top + height, left : left + width] = resized(image, height, width)
    return _channels_first(square)


def unletterbox(*, box: Array, image: Array, side: int) -> Array:
    """f32[N, 4] in the square of `letterbox` -> f32[N, 4] in the image, cut at its edges."""
    height, width, left, top = _fitted(image, side)
    rows, columns = image.shape[:2]
    xp = namespace(box)
    scale = xp.asarray([columns / width, rows / height] * 2, xp.float32)
    largest = xp.asarray([columns, rows] * 2, xp.float32)
    return xp.clip((box - xp.asarray([left, top] * 2, xp.float32)) * scale, 0, largest)


def crop(*, image: Array, box: Array, side: int) -> Array:
    """u8[H, W, 3], f32[rows, 4] -> f32[rows, 3, side, side]. InvalidInput for a box without pixels of the image."""
    xp = namespace(image)
    rows, columns = image.shape[:2]
    patches = xp.empty((len(box), 3, side, side), xp.float32)
    for patch, corners in zip(patches, on_host(box).tolist()):
        x0, y0 = max(corners[0], 0.0), max(corners[1], 0.0)
        x1, y1 = min(corners[2], float(columns)), min(corners[3], float(rows))
        if not (x0 < x1 and y0 < y1):  # false for NaN too
            raise InvalidInput(f"box {corners} holds nothing of the image of {columns} x {rows} pixels")
        patch[:] = _channels_first(resized(image, side, side, (x0, y0, x1, y1)))
    return patches


def normalise(*, x: Array) -> Array:
    """f32[rows, 3, H, W] -> the same."""
    xp = namespace(x)
    return (x - xp.asarray(MEAN)[:, None, None]) / xp.asarray(SPREAD)[:, None, None]


def nms(*, box: Array, score: Array, overlap: float, least: float) -> tuple[Array, Array, Array]:
    """f32[N, 4], f32[N] -> f32[K, 4], f32[K], i64[K].

    The choice is made on the host: each box depends on those before it, and boxes are small."""
    corners, scores = on_host(box), on_host(score)
    order = np.flatnonzero(scores >= least)
    order = order[np.argsort(-scores[order], kind="stable")]
    kept: list[int] = []
    while len(order) and len(kept) < MOST:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[_overlaps(corners[best], corners[rest]) <= overlap]
    index = namespace(box).asarray(np.array(kept, np.int64))
    return box[index], score[index], index


def _overlaps(one: Array, many: Array) -> Array:
    """Intersection over union of a box with each of many; boxes without area overlap nothing."""
    size = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
    shared = np.clip(size, 0, None).prod(axis=1)
    areas = (many[:, 2:] - many[:, :2]).prod(axis=1)
    joined = (one[2:] - one[:2]).prod() + areas - shared
    return np.divide(shared, joined, out=np.zeros_like(shared), where=joined > 0)


def _fitted(image: Array, side: int) -> tuple[int, int, int, int]:
    """Height and width of the scaled image in the square, and its place from the left and the top."""
    rows, columns = image.shape[:2]
    if not (rows and columns):
        raise InvalidInput(f"the image has no pixels, it is {columns} x {rows}")
    scale = min(side / rows, side / columns)
    height, width = max(round(rows * scale), 1), max(round(columns * scale), 1)
    return height, width, (side - width) // 2, (side - height) // 2


def _channels_first(pixels: Array) -> Array:
    """u8[H, W, 3] -> f32[3, H, W] between 0 and 1."""
    xp = namespace(pixels)
    return xp.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(xp.float32) / xp.float32(255)
