"""The square that the detector takes."""

import numpy as np
from PIL import Image

SIDE = 640


def letterbox(*, image: np.ndarray) -> np.ndarray:
    """u8[H, W, 3] to f32[3, 640, 640] between 0 and 1: in the upper left corner, scaled down where it is larger."""
    height, width = image.shape[:2]
    scale = min(SIDE / height, SIDE / width, 1.0)
    if scale < 1:
        small = Image.fromarray(image).resize((round(width * scale), round(height * scale)))
        image = np.asarray(small)
    square = np.zeros((SIDE, SIDE, 3), np.float32)
    square[: image.shape[0], : image.shape[1]] = image / np.float32(255)
    return square.transpose(2, 0, 1)
