"""Datatypes of the protocol beside those of the language."""

from __future__ import annotations

from typing import Any

import numpy as np

CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Field of InferTensorContents by datatype. FP16 and BF16 have none: they travel raw."""

CONFIG = {
    "BOOL": "TYPE_BOOL",
    "FP16": "TYPE_FP16",
    "FP32": "TYPE_FP32",
    "FP64": "TYPE_FP64",
    "BF16": "TYPE_BF16",
    "BYTES": "TYPE_STRING",
} | {f"{u}INT{n}": f"TYPE_{u}INT{n}" for u in ("", "U") for n in (8, 16, 32, 64)}
"""Name in a ModelConfig by datatype."""


def raw_bytes(array: np.ndarray[Any, Any]) -> bytes | memoryview:
    """The bytes of a C-contiguous array; a large one is not copied."""
    if array.nbytes < 4096:
        return array.tobytes()
    return array.reshape(-1).view(np.uint8).data
