"""Which library an array belongs to: numpy on the host, CuPy on a device. The one place that asks."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def namespace(array: Any) -> Any:
    """The module whose functions take this array: `numpy`, or `cupy` if it is one of CuPy's.

    CuPy is not imported for the question: where nothing has loaded it, no array can be its."""
    cupy = sys.modules.get("cupy")
    return np if cupy is None else cupy.get_array_module(array)


def on_host(array: Any) -> np.ndarray[Any, Any]:
    """The array itself, or a copy of a device's."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.get())
