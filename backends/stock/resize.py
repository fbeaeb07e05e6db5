"""Scaling with a triangle filter, widened where an image shrinks so that every pixel counts.

On the host Pillow does it. On a device the same filter is two small matrices, one for each direction: a matrix product
is what a GPU does best, and no kernel is needed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import namespace

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels; parts of pixels are meant."""


def resized(image: Any, height: int, width: int, box: Box | None = None) -> Any:
    """u8[H, W, 3] -> u8[height, width, 3]: the part in `box`, or all of it."""
    if namespace(image) is np:
        from PIL import Image

        whole = Image.fromarray(image)
        return np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR, box=box))
    return by_matrices(image, height, width, box)


def by_matrices(image: Any, height: int, width: int, box: Box | None = None) -> Any:
    """`resized` as two products, in whatever library the image belongs to."""
    xp = namespace(image)
    rows, columns = image.shape[:2]
    x0, y0, x1, y1 = box or (0.0, 0.0, float(columns), float(rows))
    down = xp.asarray(weights(rows, y0, y1, height))
    across = xp.asarray(weights(columns, x0, x1, width))
    planes = image.transpose(2, 0, 1).astype(xp.float32)
    scaled = down @ (planes @ across.T)
    return xp.clip(xp.rint(scaled), 0, 255).astype(xp.uint8).transpose(1, 2, 0)


def weights(size: int, start: float, stop: float, out: int) -> np.ndarray[Any, Any]:
    """f32[out, size]: how much each of `size` pixels counts for each of `out` between `start` and `stop`.

    Rows sum to 1."""
    scale = (stop - start) / out
    reach = max(scale, 1.0)
    centres = start + (np.arange(out) + 0.5) * scale
    distance = np.abs(np.arange(size) + 0.5 - centres[:, None]) / reach
    triangle = np.maximum(1 - distance, 0)
    shares: np.ndarray[Any, Any] = triangle / triangle.sum(axis=1, keepdims=True)
    return shares.astype(np.float32)
