"""Makes the models, pictures and sounds of the worked examples.

    python examples/worked/prepare.py

They stand in for larger ones under the same names and signatures: `models/resnet50.onnx` and its like are small
models of scikit-learn's handwritten digits, `models/ranker/*` weigh shared words. The encoder of embed.pipe is the
real one, of `examples/embed`, whose prepare.py runs first where it has not (torch, half a minute); the rest takes
seconds.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from asr.morse import key
from audio_models import CHUNK, save_encoder, vad
from digit_models import classifiers, digits, picture
from onnx_models import detector, rankers, save
from PIL import Image

import pipectl

HERE = Path(__file__).resolve().parent
MODELS, DATA = HERE / "models", HERE / "data"
PICTURES = 4


def encoder() -> None:
    """MiniLM, as examples/embed exports it."""
    embed = HERE.parent / "embed"
    if not (embed / "models" / ".prepared").exists():
        subprocess.run([sys.executable, str(embed / "prepare.py")], check=True)
    (MODELS / "minilm").mkdir(exist_ok=True)
    shutil.copy(embed / "models" / "encoder.onnx", MODELS / "minilm" / "model.onnx")
    shutil.copy(embed / "models" / "tokenizer.json", MODELS / "minilm" / "tokenizer.json")


def pictures(random: np.random.Generator) -> None:
    """640 x 640, with 0 to 9 digits on each and what they are in `picture_<n>.json`."""
    held_out = digits().held_out
    for n in range(PICTURES):
        chosen = random.integers(0, len(held_out.scans), 3 * n)
        pixels, boxes = picture(held_out.scans[chosen], random)
        Image.fromarray(pixels).save(DATA / f"picture_{n}.png")
        told = {"digits": held_out.digits[chosen].tolist(), "boxes": boxes}
        (DATA / f"picture_{n}.json").write_text(json.dumps(told), encoding="utf-8")


def cascade_images() -> None:
    """60 held-out scans as the classifiers take them, and what they are."""
    held_out = digits().held_out
    large = held_out.scans[:60].repeat(28, axis=1).repeat(28, axis=2)
    np.save(DATA / "images.npy", np.repeat(large[:, None], 3, axis=1).astype(np.float32))
    np.save(DATA / "images_digits.npy", held_out.digits[:60])


def index(texts: list[str]) -> None:
    """The sentences of examples/embed with their vectors, from embed.pipe itself."""
    with pipectl.load(HERE / "embed.pipe", profile="cpu") as app:
        vectors = app["embed"](text=texts)["embedding"]
    np.savez(MODELS / "index.npz", passages=np.array(texts), vectors=vectors)


def sound() -> None:
    """Morse code in chunks of 100 ms: the requests of one sequence, and what it says."""
    text = "WHAT HATH GOD WROUGHT"
    heard = key(text)
    chunks = np.pad(heard, (0, -len(heard) % CHUNK)).reshape(-1, CHUNK).round(4)
    lines = (json.dumps({"pcm": chunk.tolist()}) for chunk in chunks)
    (DATA / "morse.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (DATA / "morse.txt").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    for folder in (MODELS, DATA):
        folder.mkdir(exist_ok=True)
    encoder()
    save(detector(), MODELS / "peaks.onnx")
    resnet, mobilenet, vit = classifiers()
    save(resnet, MODELS / "resnet50.onnx")
    save(mobilenet, MODELS / "mobilenet.onnx")
    save(vit, MODELS / "vit_large.onnx")
    texts = (HERE.parent / "embed" / "page.txt").read_text(encoding="utf-8").splitlines()
    for version, model in rankers(texts).items():
        save(model, MODELS / "ranker" / str(version) / "model.onnx")
    pictures(np.random.default_rng(8))
    cascade_images()
    index(texts)
    save(vad(), MODELS / "silero.onnx")
    save_encoder(MODELS / "conformer.pt")
    sound()
    (MODELS / ".prepared").touch()
    print("models/ and data/ of the worked examples are there")


if __name__ == "__main__":
    main()
