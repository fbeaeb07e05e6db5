"""Writes scikit-learn's scanned digits as PNG files and trains the two classifiers of digits.pipe.

    python examples/digits/prepare.py

Gives `data/train` and `data/held_out` (1,347 and 450 files named `<number>_<digit>.png`), and
`models/trees.onnx` and `models/net.onnx`, trained on `data/train` alone. Every seed is fixed, so a second run
gives the same files. Takes a few seconds.
"""

from pathlib import Path

import numpy as np
from digits_stages import SIDE, decode, normalise
from PIL import Image
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
BRIGHTEST = 16  # scikit-learn stores a pixel as 0 to 16
SEED = 7


def write_scans(folder: Path, images: np.ndarray, digits: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (image, digit) in enumerate(zip(images, digits)):
        pixels = np.rint(image * (255 / BRIGHTEST)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}_{digit}.png")


def read_scans(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The files of `folder` through the pipeline's own first stages: train on what will be asked."""
    files = sorted(folder.glob("*.png"))
    pixels = np.stack([decode(image=file.read_bytes()) for file in files])
    return normalise(pixels=pixels), np.array([int(file.stem[-1]) for file in files])


def export(classifier: object, file: Path) -> None:
    """One ONNX file: `features` in, `label` and `probabilities` (a plain array, no list of maps) out."""
    model = to_onnx(
        classifier,
        initial_types=[("features", FloatTensorType([None, SIDE * SIDE]))],
        options={"zipmap": False},
        target_opset=17,
    )
    file.write_bytes(model.SerializeToString())


def main() -> None:
    digits = load_digits()
    train, held_out, train_digits, held_out_digits = train_test_split(
        digits.images, digits.target, test_size=450, stratify=digits.target, random_state=SEED
    )
    write_scans(HERE / "data" / "train", train, train_digits)
    write_scans(HERE / "data" / "held_out", held_out, held_out_digits)
    features, labels = read_scans(HERE / "data" / "train")

    models = HERE / "models"
    models.mkdir(exist_ok=True)
    trees = ExtraTreesClassifier(n_estimators=50, max_depth=12, random_state=SEED)
    net = MLPClassifier(hidden_layer_sizes=(32,), solver="lbfgs", alpha=0.1, max_iter=1000, random_state=SEED)
    for name, classifier in (("trees", trees), ("net", net)):
        export(classifier.fit(features, labels), models / f"{name}.onnx")
    (models / ".prepared").touch()
    print(f"{len(train)} scans to train on, {len(held_out)} held out, two models in {models.relative_to(HERE)}/")


if __name__ == "__main__":
    main()
