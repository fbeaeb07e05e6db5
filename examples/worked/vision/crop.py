"""One box of an image as the classifier takes it."""

import numpy as np
from PIL import Image

SIDE = 224


def crop_resize(*, image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """u8[H, W, 3] and x0, y0, x1, y1 to f32[3, 224, 224] between 0 and 1."""
    height, width = image.shape[:2]
    x0, y0 = np.clip(box[:2], 0, [width - 1, height - 1])
    x1, y1 = np.maximum(np.clip(box[2:], 0, [width, height]), [x0 + 1, y0 + 1])
    patch = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, (x0, y0, x1, y1))
    return np.asarray(patch).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
