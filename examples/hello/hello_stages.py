"""The python stages of hello.pipe: each call gets the rows of all requests that wait, as one array."""

import numpy as np


def greet(*, name: np.ndarray) -> list[str]:
    return [f"Hello, {one}!" for one in name]


def measure(*, text: np.ndarray) -> list[int]:
    return [len(one) for one in text]
