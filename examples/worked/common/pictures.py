"""Files to pixels."""

import io

import numpy as np
from PIL import Image

from pipectl import InvalidInput

MOST = 4_000_000


def decode(*, jpeg: bytes) -> np.ndarray:
    """u8[H, W, 3] of any file that Pillow reads."""
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            if image.width * image.height > MOST:
                raise InvalidInput(f"{image.width} x {image.height} are more than {MOST} pixels")
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InvalidInput("not an image that Pillow can read") from error
