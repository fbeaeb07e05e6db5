"""Puts scikit-learn's scanned digits on pages, and trains the classifier of sheet.pipe on what is cut from some.

    python examples/sheet/prepare.py

Gives `data/sheet_<n>.png` with the numbers on it in `sheet_<n>.txt`, made of held-out scans, and `models/digits.onnx`,
trained on pages of the other scans as the pipeline's own stages see them. Takes a few seconds.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sheet_stages import SIDE, cut, find
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).resolve().parent
SCALE = 4  # a scan of 8 x 8 becomes 32 x 32
WIDTH = 900
PAPER = 238
SEED = 11
PAGES = 6


def draw(scans: np.ndarray, digits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, list[str]]:
    """u8[H, WIDTH] with every scan on it, and the numbers they make: 2 to 6 digits each, a few on a line."""
    numbers: list[str] = []
    strips = [np.zeros((20, WIDTH), np.float32)]
    taken = 0
    while taken < len(scans):
        strip, x = np.zeros((56, WIDTH), np.float32), 20
        while taken < len(scans):
            length = min(int(random.integers(2, 7)), len(scans) - taken)
            if x + length * 42 > WIDTH:
                break
            for scan in scans[taken : taken + length]:
                y = int(random.integers(4, 18))
                strip[y : y + 32, x : x + 32] += enlarged(scan) * random.uniform(140, 220)
                x += 32 + int(random.integers(6, 11))
            numbers.append("".join(map(str, digits[taken : taken + length])))
            taken += length
            x += int(random.integers(55, 100))
        strips.append(strip)
    page = PAPER - np.concatenate(strips)
    return np.clip(page + random.normal(0, 5, page.shape), 0, 255).astype(np.uint8), numbers


def enlarged(scan: np.ndarray) -> np.ndarray:
    """f32[32, 32] between 0 and 1, smooth."""
    side = 8 * SCALE
    large = Image.fromarray(np.asarray(scan / 16, np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(large), 0, 1)


def train(scans: np.ndarray, digits: np.ndarray, random: np.random.Generator) -> MLPClassifier:
    """On three rounds of pages, each drawn anew; a page where not every digit was found again teaches nothing."""
    features, labels = [], []
    for _ in range(3):
        order = random.permutation(len(scans))
        for part in np.array_split(order, 20):
            page, numbers = draw(scans[part], digits[part], random)
            boxes, _ = find(page=page)
            if len(boxes) == len(part):
                features.append(cut(page=page, box=boxes))
                labels += [int(digit) for digit in "".join(numbers)]
    net = MLPClassifier(hidden_layer_sizes=(64,), solver="lbfgs", alpha=1.0, max_iter=2000, random_state=SEED)
    return net.fit(np.concatenate(features), labels)


def main() -> None:
    digits = load_digits()
    parts = train_test_split(digits.images, digits.target, test_size=450, stratify=digits.target, random_state=SEED)
    scans, held_out, scan_digits, held_out_digits = parts
    random = np.random.default_rng(SEED)
    data, models = HERE / "data", HERE / "models"
    for folder in (data, models):
        folder.mkdir(exist_ok=True)
    for n, part in enumerate(np.array_split(np.arange(len(held_out)), PAGES)):
        page, numbers = draw(held_out[part], held_out_digits[part], random)
        Image.fromarray(page).save(data / f"sheet_{n}.png")
        (data / f"sheet_{n}.txt").write_text("\n".join(numbers) + "\n", encoding="utf-8")
    net = train(scans, scan_digits, random)
    shape = [("scan", FloatTensorType([None, SIDE * SIDE]))]
    model = to_onnx(net, initial_types=shape, options={"zipmap": False}, target_opset=17)
    (models / "digits.onnx").write_bytes(model.SerializeToString())
    (models / ".prepared").touch()
    print(f"{PAGES} pages of {len(held_out)} held-out digits in data/, models/digits.onnx")


if __name__ == "__main__":
    main()
