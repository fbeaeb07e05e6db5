"""Text to token numbers."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as Model

LONGEST = 512


class Tokenizer:
    """Built once per instance from the file `vocab`, relative to the folder of the `.pipe`."""

    def __init__(self, *, vocab: str, folder: str) -> None:
        self.model = Model.from_file(str(Path(folder, vocab)))
        self.model.no_padding()
        self.model.enable_truncation(LONGEST)

    def __call__(self, *, text: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        found = self.model.encode_batch(text.tolist())
        ids = [np.array(each.ids, np.int64) for each in found]
        return ids, [np.ones_like(row) for row in ids]
