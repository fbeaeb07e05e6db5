"""Text to token numbers and back: the stages of `@std/text.pipe`, with the tokenizers library."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backends.values import Ragged

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Model

_BLANK = re.compile(r"\s+")


class _Truncating:
    """A tokenizer's file, relative to `folder`, that of the `.pipe`; `longest` counts special tokens too."""

    def __init__(self, *, file: str, longest: int = 512, folder: str = "") -> None:
        self.model = load(file, folder)
        self.model.no_padding()
        self.model.enable_truncation(longest)


class Tokenizer(_Truncating):
    """Texts to tokens."""

    def __call__(self, *, text: np.ndarray[Any, Any]) -> tuple[Ragged, Ragged]:
        """string[rows] -> i64[rows, ~L] twice."""
        found = self.model.encode_batch(text.tolist())
        ids = rows(each.ids for each in found)
        values, offsets = ids.packed()
        return ids, Ragged(values=np.ones_like(values), offsets=offsets)


class PairTokenizer(_Truncating):
    """Two texts to one row of tokens; the longer of both is cut first."""

    def __call__(self, *, text: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> tuple[Ragged, Ragged, Ragged]:
        """string[rows] twice -> i64[rows, ~L] three times."""
        found = self.model.encode_batch(list(zip(text.tolist(), other.tolist())))
        return (
            rows(each.ids for each in found),
            rows(each.attention_mask for each in found),
            rows(each.type_ids for each in found),
        )


class Detokenizer:
    """Tokens to texts."""

    def __init__(self, *, file: str, folder: str = "") -> None:
        self.model = load(file, folder)

    def __call__(self, *, ids: Ragged) -> list[str]:
        """i64[rows, ~L] -> string[rows]. Numbers that are no token are left out, as the library does."""
        found: list[str] = self.model.decode_batch([row.tolist() for row in ids])
        return found


def clean(*, text: np.ndarray[Any, Any]) -> list[str]:
    """string[rows] -> the same."""
    return [_BLANK.sub(" ", unicodedata.normalize("NFC", each)).strip() for each in text]


def load(file: str, folder: str) -> Model:
    """The tokenizer of a file, for a stage of the `.pipe` in `folder`. ValueError that says what to do."""
    try:
        from tokenizers import Tokenizer as Model
    except ImportError as error:
        raise ValueError("this needs the tokenizers library: pip install tokenizers") from error
    path = Path(folder, file)
    if not path.is_file():
        raise ValueError(
            f"there is no tokenizer file {path}; set TOKENIZER to a full path, or declare the stage in your own"
            " file: like text.tokenize, with file = .. beside it"
        )
    try:
        return Model.from_file(str(path))
    except Exception as error:  # the library raises plain Exceptions
        raise ValueError(f"{path} is no tokenizer.json that the tokenizers library reads: {error}") from error


def rows(lists: Any) -> Ragged:
    """Lists of numbers as one packed `Ragged` of i64."""
    held = [np.asarray(each, np.int64) for each in lists]
    offsets = np.zeros(len(held) + 1, np.int64)
    np.cumsum([len(each) for each in held], out=offsets[1:])
    return Ragged(values=np.concatenate(held) if held else np.zeros(0, np.int64), offsets=offsets)
