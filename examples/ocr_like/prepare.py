"""Draws pages of bar-coded numbers and writes the model that reads them.

    python examples/ocr_like/prepare.py

Gives `data/page_<n>.png` with the numbers on it in `page_<n>.txt`, one per line, and `models/reader.onnx`: a
matched filter, that is a convolution whose kernels are the digits themselves, after each line's contrast was
made equal. Takes a second.
"""

from pathlib import Path

import numpy as np
import onnx
from bars import CELL, cell
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

HERE = Path(__file__).resolve().parent
PAGES = 12
WIDTH = 480
PAPER = 235


def draw_page(numbers: list[str], random: np.random.Generator) -> np.ndarray:
    """u8[H, WIDTH]: lines of unequal height, place and ink, and a grain over everything."""
    strips = [np.full((12, WIDTH), PAPER, np.float32)]
    for number in numbers:
        ink = np.concatenate([cell(int(digit)) for digit in number])
        left = random.integers(5, WIDTH - len(ink))
        strip = np.full((random.integers(10, 19) + 10, WIDTH), PAPER, np.float32)
        strip[:-10, left : left + len(ink)] -= ink * random.integers(90, 200)
        strips.append(strip)
    page = np.concatenate(strips)
    return np.clip(page + random.normal(0, 6, page.shape), 0, 255).astype(np.uint8)


def write_pages(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(5)
    for n in range(PAGES):
        lengths = random.integers(3, 17, size=random.integers(2, 7))
        numbers = ["".join(map(str, random.integers(0, 10, size=length))) for length in lengths]
        Image.fromarray(draw_page(numbers, random)).save(folder / f"page_{n}.png")
        (folder / f"page_{n}.txt").write_text("\n".join(numbers) + "\n", encoding="utf-8")


def reader() -> onnx.ModelProto:
    """`profile` f32[rows, L] and `mask` bool[rows, L] in, `scores` f32[rows, L, 10] out.

    Mean and spread are those of a line's own columns: without the mask, padding would shift both.
    """
    kernels = np.stack([cell(digit) for digit in range(10)])[:, None, :]
    kernels -= kernels.mean(axis=2, keepdims=True)
    constants = {"kernels": kernels, "columns": np.array([1], np.int64), "tiny": np.float32(1e-6)}
    node = helper.make_node
    graph = helper.make_graph(
        [
            node("Cast", ["mask"], ["real"], to=TensorProto.FLOAT),
            node("ReduceSum", ["real", "columns"], ["count"]),
            node("Mul", ["profile", "real"], ["inked"]),
            node("ReduceSum", ["inked", "columns"], ["sum"]),
            node("Div", ["sum", "count"], ["mean"]),
            node("Sub", ["profile", "mean"], ["shifted"]),
            node("Mul", ["shifted", "real"], ["centred"]),
            node("ReduceSumSquare", ["centred", "columns"], ["power"]),
            node("Div", ["power", "count"], ["variance"]),
            node("Add", ["variance", "tiny"], ["safe"]),
            node("Sqrt", ["safe"], ["spread"]),
            node("Div", ["centred", "spread"], ["line"]),
            node("Unsqueeze", ["line", "columns"], ["signal"]),
            node("Conv", ["signal", "kernels"], ["response"], pads=[0, CELL - 1]),
            node("Transpose", ["response"], ["scores"], perm=[0, 2, 1]),
        ],
        "reader",
        [
            helper.make_tensor_value_info("profile", TensorProto.FLOAT, ["rows", "L"]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, ["rows", "L"]),
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", "L", 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    write_pages(HERE / "data")
    models = HERE / "models"
    models.mkdir(exist_ok=True)
    onnx.save(reader(), models / "reader.onnx")
    (models / ".prepared").touch()
    print(f"{PAGES} pages in data/, models/reader.onnx")


if __name__ == "__main__":
    main()
