"""The python stages of sheet.pipe: where the digits are, what each looks like, which number they make."""

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 12
INK = 0.25  # darkness, as a share of the paper's brightness, from which a pixel counts as ink
JOIN = 5  # parts of a digit that are nearer than this many pixels are one
SMALLEST = 60  # ink pixels; less is a speck
GAP = 1.35  # a blank of this many digit heights, or more, parts two numbers


def darkness(page: np.ndarray) -> np.ndarray:
    """f32[H, W] between 0, the paper (the median pixel), and 1, black."""
    paper = max(float(np.median(page)), 1.0)
    return np.clip(1 - page / np.float32(paper), 0, 1)


def find(*, page: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Connected ink, line by line and from left to right."""
    ink = ndimage.binary_opening(darkness(page) > INK, np.ones((2, 2)))
    parts, count = ndimage.label(ndimage.binary_dilation(ink, np.ones((JOIN, JOIN))))
    pixels = ndimage.sum_labels(ink, parts, np.arange(1, count + 1))
    boxes = [tight(ink, place) for place, n in zip(ndimage.find_objects(parts), pixels) if n >= SMALLEST]
    ordered = [box for line in lines(boxes) for box in sorted(line)]
    return np.array(ordered, np.int64).reshape(-1, 4), numbers_of(ordered)


def tight(ink: np.ndarray, place: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the ink in a part of the page."""
    rows, columns = (np.flatnonzero(ink[place].any(axis=axis)) for axis in (1, 0))
    top, left = place[0].start, place[1].start
    return left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1


def lines(boxes: list[tuple[int, int, int, int]]) -> list[list[tuple[int, int, int, int]]]:
    """Boxes whose middle lies within the height of the line's first box stand on one line."""
    found: list[list[tuple[int, int, int, int]]] = []
    for box in sorted(boxes, key=lambda b: b[1] + b[3]):
        middle = (box[1] + box[3]) / 2
        if found and found[-1][0][1] <= middle <= found[-1][0][3]:
            found[-1].append(box)
        else:
            found.append([box])
    return found


def numbers_of(boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    """i64[N]: a new number begins on each line, and behind a wide blank."""
    number = np.zeros(len(boxes), np.int64)
    for i in range(1, len(boxes)):
        (_, top, right, bottom), (left, next_top, _, next_bottom) = boxes[i - 1], boxes[i]
        same_line = top < (next_top + next_bottom) / 2 < bottom and left >= right - 2
        wide = left - right > GAP * max(bottom - top, next_bottom - next_top)
        number[i] = number[i - 1] + (wide or not same_line)
    return number


def cut(*, page: np.ndarray, box: np.ndarray) -> np.ndarray:
    """f32[rows, 144]: the darkness in each box, centred in a square of its longer side."""
    dark = darkness(page)
    scans = np.zeros((len(box), SIDE * SIDE), np.float32)
    for scan, (x0, y0, x1, y1) in zip(scans, box):
        side = max(x1 - x0, y1 - y0)
        square = np.zeros((side, side), np.float32)
        top, left = (side - (y1 - y0)) // 2, (side - (x1 - x0)) // 2
        square[top : top + y1 - y0, left : left + x1 - x0] = dark[y0:y1, x0:x1]
        small = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        scan[:] = np.asarray(small).ravel()
    return scans


def certainty(*, probabilities: np.ndarray) -> np.ndarray:
    return probabilities.max(axis=1)


def write(*, digit: np.ndarray, number: np.ndarray) -> list[str]:
    """One string for each number on the page."""
    return ["".join(map(str, digit[number == n])) for n in np.unique(number)]
