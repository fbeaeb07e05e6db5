"""Run-time values as JSON beside arrays, and back.

    value --Packer.pack--> JSON data + {"a0": array, ..} --unpack--> the same value

JSON data of a value is an object with one key that says what it is: `json` (numbers, text, JSON values), `bytes`
(base64), `array` (numbers, by name), `objects` (an array of text, bytes or JSON, item by item), `ragged` (its rows).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.values import Ragged

Array = NDArray[Any]


class Packer:
    """Packs values one after the other; `arrays` are what they refer to."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def pack(self, value: Any) -> dict[str, Any]:
        """JSON data for one value."""
        if isinstance(value, Ragged):
            return {"ragged": [self.pack(np.asarray(row)) for row in value]}
        if isinstance(value, np.ndarray) and value.dtype == object:
            return {"objects": [self.pack(item) for item in value.ravel()], "shape": list(value.shape)}
        if isinstance(value, np.ndarray | np.generic):
            return self._array(np.asarray(value))
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode("ascii")}
        return {"json": value}

    def _array(self, array: Array) -> dict[str, Any]:
        name = f"a{len(self.arrays)}"
        packed: dict[str, Any] = {"array": name}
        if array.dtype.kind == "V":  # bfloat16, which .npy files can not name
            packed["dtype"] = array.dtype.name
            array = array.view(np.uint16)
        self.arrays[name] = array
        return packed


def unpack(packed: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    """The value of JSON data. KeyError or ValueError for data that no packer made."""
    if "ragged" in packed:
        return Ragged([unpack(row, arrays) for row in packed["ragged"]])
    if "objects" in packed:
        found = np.empty(len(packed["objects"]), object)
        for i, item in enumerate(packed["objects"]):
            found[i] = unpack(item, arrays)
        return found.reshape(packed["shape"])
    if "array" in packed:
        array = arrays[packed["array"]]
        return array.view(_special(packed["dtype"])) if "dtype" in packed else array
    if "bytes" in packed:
        return base64.b64decode(packed["bytes"], validate=True)
    return packed["json"]


def _special(name: str) -> np.dtype[Any]:
    import ml_dtypes

    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found
