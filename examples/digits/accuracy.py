"""Sends every held-out scan through digits.pipe and counts the right answers.

    python examples/digits/accuracy.py

Each scan is a request of its own; up to 64 are under way at once, so the classifiers see batches.
"""

import time
from pathlib import Path

import pipectl

HERE = Path(__file__).resolve().parent


def main() -> None:
    scans = sorted((HERE / "data" / "held_out").glob("*.png"))
    requests = [{"image": scan.read_bytes()} for scan in scans]
    with pipectl.load(HERE / "digits.pipe", profile="cpu") as app:
        start = time.perf_counter()
        labels = [int(answer["label"]) for answer in app["digits"].map(requests, in_flight=64)]
        seconds = time.perf_counter() - start
    right = sum(label == int(scan.stem[-1]) for label, scan in zip(labels, scans))
    print(f"{len(scans)} held-out scans in {seconds:.2f} s")
    print(f"accuracy {right / len(scans):.3f}")


if __name__ == "__main__":
    main()
