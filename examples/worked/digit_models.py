"""Classifiers of handwritten digits for images of 224 x 224, and pictures with digits on them. For prepare.py."""

from functools import cache
from typing import NamedTuple

import numpy as np
import onnx
from onnx_models import network
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 5


class Scans(NamedTuple):
    scans: np.ndarray
    """f32[N, 8, 8] between 0 and 1."""
    digits: np.ndarray


class Digits(NamedTuple):
    train: Scans
    held_out: Scans


@cache
def digits() -> Digits:
    found = load_digits()
    scans = (found.images / 16).astype(np.float32)
    parts = train_test_split(scans, found.target, test_size=400, stratify=found.target, random_state=SEED)
    return Digits(Scans(parts[0], parts[2]), Scans(parts[1], parts[3]))


def enlarged(scan: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(scan).resize((side, side), Image.Resampling.BILINEAR))


def seen(scan: np.ndarray, right: int, down: int) -> np.ndarray:
    """A scan after it was drawn 64 pixels wide, cut out a little beside it, enlarged to 224 and averaged down to 8."""
    drawn = np.zeros((96, 96), np.float32)
    drawn[16:80, 16:80] = enlarged(scan, 64)
    cut = drawn[16 + down : 80 + down, 16 + right : 80 + right]
    return enlarged(cut, 224).reshape(8, 28, 8, 28).mean(axis=(1, 3))


def classifiers() -> tuple[onnx.ModelProto, onnx.ModelProto, onnx.ModelProto]:
    """One for cut-out boxes (`label`, `prob`), a simple and a better one for scans (`label`, `conf`)."""
    scans, labels = digits().train
    plain = scans.reshape(len(scans), 64)
    places = [(0, 0), (-8, 0), (8, 0), (0, -8), (0, 8)]
    cut = np.stack([seen(scan, *place) for place in places for scan in scans]).reshape(-1, 64)
    large = {
        "hidden_layer_sizes": (48,),
        "alpha": 0.1,
        "max_iter": 200,
        "tol": 2e-3,
        "n_iter_no_change": 5,
        "random_state": SEED,
    }
    boxes = MLPClassifier(**large).fit(cut, np.tile(labels, len(places)))
    simple = LogisticRegression(C=0.5, max_iter=1000).fit(plain, labels)
    better = MLPClassifier(**large).fit(plain, labels)
    linear = ([simple.coef_.T], [simple.intercept_])
    return (
        network(boxes.coefs_, boxes.intercepts_, "prob"),
        network(*linear, "conf"),
        network(better.coefs_, better.intercepts_, "conf"),
    )


def picture(scans: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[list[int]]]:
    """u8[640, 640, 3] with each scan in a cell of its own, in reading order, and their boxes."""
    pixels = np.zeros((640, 640), np.float32)
    boxes = []
    for cell, scan in zip(sorted(random.permutation(25)[: len(scans)].tolist()), scans):
        x, y = 128 * (cell % 5) + 8 * int(random.integers(2, 7)), 128 * (cell // 5) + 32
        pixels[y : y + 64, x : x + 64] = enlarged(scan, 64)
        boxes.append([x, y, x + 64, y + 64])
    grey = np.clip(pixels * 255, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2), boxes
