"""The code: each digit is a cell of eight modules, an opening bar and two bars out of five."""

from itertools import combinations

import numpy as np

MODULE = 3  # pixels
CELL = 8 * MODULE
PLACES = tuple(combinations(range(1, 6), 2))  # digit -> where its two bars stand; ten pairs, ten digits


def cell(digit: int) -> np.ndarray:
    """f32[CELL]: 1 where the digit has ink. The last two modules of a cell are always paper."""
    modules = np.zeros(8, np.float32)
    modules[[0, *PLACES[digit]]] = 1
    return modules.repeat(MODULE)
