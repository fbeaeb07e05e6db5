"""Trains the two classifiers of cascade.pipe on scikit-learn's scanned digits.

    python examples/cascade/prepare.py

Gives `models/small.onnx`, a linear model of 20 of the 64 pixels, `models/large.onnx`, a forest of 400 trees, and
the scans neither has seen: `data/scans.npy` with `data/digits.npy`. Takes a few
seconds.
"""

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

HERE = Path(__file__).resolve().parent
SEED = 7


def export(classifier: object, file: Path, *outputs: str) -> None:
    """An ONNX file with `scan` in and the named outputs, of `label` and `probabilities`, out."""
    model = to_onnx(
        classifier,
        initial_types=[("scan", FloatTensorType([None, 64]))],
        options={"zipmap": False},
        target_opset=17,
    )
    for output in [o for o in model.graph.output if o.name not in outputs]:
        model.graph.output.remove(output)
    file.write_bytes(model.SerializeToString())


def main() -> None:
    digits = load_digits()
    scans = (digits.data / 16).astype(np.float32)
    parts = train_test_split(scans, digits.target, test_size=600, stratify=digits.target, random_state=SEED)
    train, held_out, train_digits, held_out_digits = parts
    models, data = HERE / "models", HERE / "data"
    for folder in (models, data):
        folder.mkdir(exist_ok=True)
    small = make_pipeline(SelectKBest(chi2, k=20), LogisticRegression(C=10, max_iter=2000))
    export(small.fit(train, train_digits), models / "small.onnx", "probabilities")
    export(ExtraTreesClassifier(400, random_state=SEED).fit(train, train_digits), models / "large.onnx", "label")
    np.save(data / "scans.npy", held_out)
    np.save(data / "digits.npy", held_out_digits)
    (models / ".prepared").touch()
    print(f"two models in models/, {len(held_out)} held-out scans in data/")


if __name__ == "__main__":
    main()
