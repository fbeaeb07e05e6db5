"""The python stages of embed.pipe: text to token numbers, and token vectors to one vector per text."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent


class Tokeniser:
    """Built once per instance. `file` is relative to this folder; a text is cut after `longest` tokens."""

    def __init__(self, *, file: str, longest: int) -> None:
        self.tokenizer = Tokenizer.from_file(str(HERE / file))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(longest)

    def __call__(self, *, text: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Rows of unequal length, one array each: how they are padded is the encoder's business."""
        encodings = self.tokenizer.encode_batch(list(text))
        ids = [np.array(each.ids, np.int64) for each in encodings]
        return ids, [np.ones_like(row) for row in ids]


def mean_pool(*, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """f32[rows, L, D] to f32[rows, D]: the mean over tokens that are not padding, scaled to length 1."""
    weight = mask[..., None].astype(np.float32)
    mean = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)
