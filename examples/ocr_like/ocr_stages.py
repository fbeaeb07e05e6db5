"""The python stages of ocr_like.pipe: a page to line profiles, and scores of columns to digits."""

import io

import numpy as np
from bars import CELL
from PIL import Image, UnidentifiedImageError

from pipectl import InvalidInput, Ragged

INK = 0.2  # darkness, as a share of the paper's brightness, from which a pixel counts as ink


def decode(*, image: bytes) -> np.ndarray:
    """An image file to u8[H, W], grey."""
    try:
        with Image.open(io.BytesIO(image)) as page:
            return np.asarray(page.convert("L"))
    except (UnidentifiedImageError, OSError) as error:
        raise InvalidInput("not an image that Pillow can read") from error


def darkness(page: np.ndarray) -> np.ndarray:
    """f32[H, W] between 0, the paper (the median pixel), and 1, black."""
    paper = max(float(np.median(page)), 1.0)
    return np.clip(1 - page / np.float32(paper), 0, 1)


def cut(*, page: np.ndarray) -> list[np.ndarray]:
    """The mean darkness of each column, line by line: as many lines as there are, each its own length."""
    dark = darkness(page)
    ink = dark > INK
    edges = np.flatnonzero(np.diff(ink.any(axis=1), prepend=False, append=False))
    lines = []
    for top, bottom in edges.reshape(-1, 2):
        columns = np.flatnonzero(ink[top:bottom].any(axis=0))
        lines.append(dark[top:bottom, columns[0] : columns[-1] + 1].mean(axis=0))
    return lines


def coverage(*, page: np.ndarray) -> float:
    """The share of the page that is ink: a blank or an upside-down scan shows here."""
    return float((darkness(page) > INK).mean())


def spell(*, scores: Ragged) -> list[str]:
    """One number per line: a cell begins every CELL columns, its digit is the best-scoring one there."""
    return ["".join(map(str, line[::CELL].argmax(axis=1))) for line in scores]
