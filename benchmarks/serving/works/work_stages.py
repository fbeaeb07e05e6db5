"""The stages of all works, called by every server alike. Nothing of this project is in them."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def add_one(*, x: Array) -> Array:
    made: Array = x + np.float32(1)
    return made


def identity(*, x: Array) -> Array:
    return x


class Product:
    """A product of two `size` x `size` matrices, by BLAS on one thread without the GIL, added to what comes."""

    def __init__(self, *, size: int) -> None:
        source = np.random.default_rng(size)
        self.left, self.right = (source.standard_normal((size, size), np.float32) for _ in range(2))

    def __call__(self, *, x: Array) -> Array:
        made: Array = x + (self.left @ self.right)[0, : x.shape[-1]]
        return made


def join(*, left: Array, right: Array) -> Array:
    made: Array = left + right
    return made


class Tokeniser:
    """Text to token numbers, cut after `longest`; with `pad` all rows are that long, else each is as long as it is."""

    def __init__(self, *, file: str, longest: int, pad: bool) -> None:
        from tokenizers import Tokenizer  # only the works with text need it

        self.tokenizer = Tokenizer.from_file(file)
        self.tokenizer.enable_truncation(longest)
        self.pad = pad
        if pad:
            self.tokenizer.enable_padding(length=longest)
        else:
            self.tokenizer.no_padding()

    def __call__(self, *, text: Array) -> tuple[object, object]:
        encodings = self.tokenizer.encode_batch(list(text))
        if self.pad:
            ids = np.array([each.ids for each in encodings], np.int64)
            return ids, np.array([each.attention_mask for each in encodings], np.int64)
        rows = [np.array(each.ids, np.int64) for each in encodings]
        return rows, [np.ones_like(row) for row in rows]


class Encoder:
    """MiniLM in ONNX Runtime, with the session options of our own backend."""

    def __init__(self, *, file: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def __call__(self, *, input_ids: Array, attention_mask: Array) -> Array:
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        hidden: Array = self.session.run(None, given)[0]
        return hidden


def mean_pool(*, hidden: Array, mask: Array) -> Array:
    """f32[rows, L, D] to f32[rows, D]: the mean over tokens that are not padding, scaled to length 1."""
    weight = mask[..., None].astype(np.float32)
    mean = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
    made: Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return made
