"""Trains three versions of a classifier on scikit-learn's wines.

    python examples/canary/prepare.py

Gives `models/1/wine.onnx`, a linear model of three measurements; `models/2/wine.onnx`, one of all thirteen;
`models/3/wine.onnx`, a forest; and the wines that none of them has seen, with their cultivar in `data/wines.json`, as
requests of thirty customers in `data/requests.jsonl`. Takes a few seconds.
"""

import json
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).resolve().parent
SEED = 3


def export(classifier: object, file: Path) -> None:
    """`x` in, `label` out."""
    model = to_onnx(
        classifier,
        initial_types=[("x", FloatTensorType([None, 13]))],
        options={"zipmap": False},
        target_opset=17,
    )
    for output in [o for o in model.graph.output if o.name != "label"]:
        model.graph.output.remove(output)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(model.SerializeToString())


def main() -> None:
    wines = load_wine()
    x = wines.data.astype(np.float32)
    parts = train_test_split(x, wines.target, test_size=0.5, stratify=wines.target, random_state=SEED)
    train, held_out, train_labels, held_out_labels = parts
    linear = LogisticRegression(max_iter=1000)
    three = make_column_transformer((StandardScaler(), [0, 1, 2]))
    versions = [
        make_pipeline(three, linear),
        make_pipeline(StandardScaler(), linear),
        RandomForestClassifier(100, random_state=SEED),
    ]
    for number, classifier in enumerate(versions, start=1):
        export(classifier.fit(train, train_labels), HERE / "models" / str(number) / "wine.onnx")
    (HERE / "data").mkdir(exist_ok=True)
    records = [{"x": row.tolist(), "cultivar": int(label)} for row, label in zip(held_out, held_out_labels)]
    (HERE / "data" / "wines.json").write_text(json.dumps(records), encoding="utf-8")
    requests = [{"customer": f"customer {i % 30}", "x": record["x"]} for i, record in enumerate(records)]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    (HERE / "data" / "requests.jsonl").write_text(lines, encoding="utf-8")
    (HERE / "models" / ".prepared").touch()
    print(f"three versions in models/, {len(records)} held-out wines in data/")


if __name__ == "__main__":
    main()
