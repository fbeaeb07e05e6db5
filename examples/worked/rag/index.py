"""The nearest passages of an index, by the product of vectors of length 1."""

from pathlib import Path

import numpy as np


class Faiss:
    """Compares with every vector, which is what an index does for a few thousand of them.

    `path`: an .npz with `passages` and their `vectors`, relative to the folder of the `.pipe`; `k`: at most so many."""

    def __init__(self, *, path: str, k: int, folder: str) -> None:
        with np.load(Path(folder, path), allow_pickle=False) as held:
            self.passages, self.vectors = held["passages"], held["vectors"]
        self.k = k

    def __call__(self, *, query: np.ndarray) -> tuple[list[list[str]], list[np.ndarray]]:
        """f32[rows, 384] to the best of each row, best first."""
        scores = query @ self.vectors.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.k]
        passages = [np.array(self.passages[row].tolist(), object) for row in best]
        return passages, [score[row].astype(np.float32) for score, row in zip(scores, best)]
