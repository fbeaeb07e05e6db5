"""Token vectors to one vector for each text."""

import numpy as np


def mean_pool(*, hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mean over tokens that are not padding, scaled to length 1."""
    weight = mask[..., None].astype(np.float32)
    mean = (hidden * weight).sum(axis=1) / weight.sum(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)
