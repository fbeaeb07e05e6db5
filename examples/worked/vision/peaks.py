"""A detector of bright things of one size: an ONNX model gives a map of likelihoods, its peaks are the boxes."""

from pathlib import Path

import numpy as np
import onnxruntime

STEP = 8  # pixels between two places of the map
SIZE = 64  # of a box
LEAST = 0.5
MOST = 100


class Detector:
    """Rows are images. How many boxes each has is known only after the model ran: rows of unequal length."""

    def __init__(self, *, model: str, folder: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(Path(folder, model), options)

    def __call__(self, *, image: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        likely, peaks = self.session.run(["likely", "peaks"], {"image": image})
        found = [boxes(row, peak) for row, peak in zip(likely, peaks)]
        return [box for box, _ in found], [score for _, score in found]


def boxes(likely: np.ndarray, peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f32[N, 4] and f32[N], from the top to the bottom, of what is a peak and likely enough."""
    y, x = np.nonzero(peaks & (likely >= LEAST))
    corner = np.stack([x, y], axis=1)[:MOST] * np.float32(STEP) - SIZE / 2
    return np.concatenate([corner, corner + SIZE], axis=1).astype(np.float32), likely[y, x][:MOST]
