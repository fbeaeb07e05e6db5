"""What the cascade saves and what it costs: the held-out scans with several thresholds.

    python examples/cascade/compare.py

At threshold 0 the small classifier always has the last word, at 1 (almost) never. The rows that reached the large one
are those that its stage counted, not what the answers say.
"""

from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

import pipectl

HERE = Path(__file__).resolve().parent
THRESHOLDS = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)


def rows_of(metrics: str, node: str) -> int:
    """Rows that a node's stage was given."""
    families = text_string_to_metric_families(metrics)
    samples = (sample for family in families for sample in family.samples if sample.name == "pipe_node_rows_total")
    return int(sum(sample.value for sample in samples if sample.labels["node"] == node))


def main() -> None:
    scans, digits = (np.load(HERE / "data" / f"{name}.npy") for name in ("scans", "digits"))
    requests = [{"scan": part} for part in np.array_split(scans, 60)]
    print("threshold  to large  accuracy")
    for threshold in THRESHOLDS:
        with pipectl.load(HERE / "cascade.pipe", profile="cpu", params={"THRESHOLD": threshold}) as app:
            answers = list(app["cascade"].map(requests, in_flight=16))
            reached = rows_of(app.metrics(), "cascade.large_1")
        labels = np.concatenate([answer["label"] for answer in answers])
        print(f"{threshold:9.2f}  {reached:4d} of {len(scans)}  {(labels == digits).mean():.3f}")


if __name__ == "__main__":
    main()
