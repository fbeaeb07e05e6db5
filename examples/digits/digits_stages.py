"""The python stages of digits.pipe. Port names are keyword arguments; arrays are read-only numpy."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipectl import InvalidInput

SIDE = 8


def decode(*, image: bytes) -> np.ndarray:
    """One scan, PNG bytes to u8[8, 8]. Runs once per request: images of unequal size cannot be stacked."""
    try:
        with Image.open(io.BytesIO(image)) as scan:
            size, pixels = scan.size, np.asarray(scan.convert("L"))
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidInput("not an image that Pillow can read") from error
    if size != (SIDE, SIDE):
        raise InvalidInput(f"the scan is {size[0]} x {size[1]} pixels, need {SIDE} x {SIDE}")
    return pixels


def normalise(*, pixels: np.ndarray) -> np.ndarray:
    """u8[rows, 8, 8] to f32[rows, 64] between 0 and 1: one row per scan, whoever asked."""
    return pixels.reshape(len(pixels), SIDE * SIDE).astype(np.float32) / np.float32(255)


def vote(
    *, trees: np.ndarray, trees_p: np.ndarray, net: np.ndarray, net_p: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The label with the largest mean probability, what each classifier said alone, and that probability."""
    mean = (trees_p + net_p) / 2
    return mean.argmax(axis=1), np.stack([trees, net], axis=1), mean.max(axis=1)
