"""The python stage of sequence.pipe. States are keyword arguments, and are given back behind the outputs."""

import numpy as np


class Gate:
    """`above`: speech is so many times as loud as the quietest piece."""

    def __init__(self, *, above: float) -> None:
        self.above = above

    def __call__(self, *, clean: np.ndarray, quietest: float) -> tuple[bool, float, float]:
        level = float(np.sqrt(np.mean(np.square(clean, dtype=np.float64))))
        quietest = min(quietest, level)
        return level > self.above * quietest, level, quietest
