"""Arrays that another library made in simulated memory, as torch or ONNX Runtime do on a GPU."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import SimData
from .errors import RaceError
from .queue import SimStream

if TYPE_CHECKING:
    from .driver import SimDriver


class LibraryArray:
    """An array of another library, in simulated memory that the library frees when nobody refers to it."""

    def __init__(self, driver: SimDriver, data: SimData, stream: SimStream) -> None:
        self.driver = driver
        self.data = data
        self.life = data.life
        self.stream = stream

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    def __del__(self) -> None:
        with suppress(RaceError):  # noted, and nobody to raise to
            self.driver.free(self.life, self.stream)
