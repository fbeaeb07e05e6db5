"""Writes the filter of sequence.pipe, and two recordings with hum.

    python examples/sequence/prepare.py

Gives `models/dehum.onnx`, a convolution with the end of the piece before in front, and in `data/` for each recording
its pieces as requests, `one.jsonl` and `two.jsonl`, and `one.npz` and `two.npz` with `pcm` as recorded, `voice` as it
was without the hum, and `speech`, one a piece. Takes a second.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
RATE, PIECE, TAPS = 8000, 800, 1601
HUM = 50  # Hz, and its first multiples


def taps() -> np.ndarray:
    """f32[TAPS]: everything but narrow bands around the hum; the delay is half of the taps."""
    frequencies = np.fft.rfftfreq(TAPS, 1 / RATE)
    passed = np.ones(len(frequencies))
    for multiple in (1, 2, 3):
        passed[np.abs(frequencies - HUM * multiple) < 8] = 0
    response = np.fft.fftshift(np.fft.irfft(passed, TAPS)) * np.hanning(TAPS)
    return response.astype(np.float32)


def dehum() -> onnx.ModelProto:
    """`pcm`, `tail_in`, `START` to `clean`, `tail_out`."""
    node = helper.make_node
    constants = {
        "taps": taps()[::-1].copy()[None, None],
        "shape": np.array([1, 1, -1]),
        "flat": np.array([-1]),
        "from": np.array([PIECE]),
        "to": np.array([PIECE + TAPS - 1]),
        "nothing": np.zeros(TAPS - 1, np.float32),
    }
    nodes = [
        node("Where", ["START", "nothing", "tail_in"], ["tail"]),
        node("Concat", ["tail", "pcm"], ["line"], axis=0),
        node("Reshape", ["line", "shape"], ["signal"]),
        node("Conv", ["signal", "taps"], ["filtered"]),
        node("Reshape", ["filtered", "flat"], ["clean"]),
        node("Slice", ["line", "from", "to"], ["tail_out"]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "dehum",
        [
            tensor("pcm", TensorProto.FLOAT, [PIECE]),
            tensor("tail_in", TensorProto.FLOAT, [TAPS - 1]),
            tensor("START", TensorProto.BOOL, []),
        ],
        [tensor("clean", TensorProto.FLOAT, [PIECE]), tensor("tail_out", TensorProto.FLOAT, [TAPS - 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def recording(random: np.random.Generator, words: list[tuple[int, int]], pieces: int) -> dict[str, np.ndarray]:
    """`words`: first and last piece of each stretch of voice; hum is everywhere."""
    time = np.arange(pieces * PIECE) / RATE
    speech = np.zeros(pieces, bool)
    for first, last in words:
        speech[first : last + 1] = True
    pitch = 220 + 40 * np.sin(2 * np.pi * 0.7 * time)
    tone = sum(np.sin(2 * np.pi * np.cumsum(pitch * k) / RATE) / k for k in (1, 2, 3, 4))
    voice = 0.2 * tone * np.repeat(speech, PIECE) + random.normal(0, 0.01, len(time))
    hum = sum(0.3 / k * np.sin(2 * np.pi * HUM * k * time + k) for k in (1, 2, 3))
    return {"pcm": (voice + hum).astype(np.float32), "voice": voice.astype(np.float32), "speech": speech}


def main() -> None:
    for folder in ("models", "data"):
        (HERE / folder).mkdir(exist_ok=True)
    onnx.save(dehum(), HERE / "models" / "dehum.onnx")
    random = np.random.default_rng(4)
    for name, words in (("one", [(8, 14), (22, 25)]), ("two", [(5, 20)])):
        made = recording(random, words, 30)
        np.savez(HERE / "data" / f"{name}.npz", **made)
        lines = (json.dumps({"pcm": piece.round(5).tolist()}) for piece in made["pcm"].reshape(-1, PIECE))
        (HERE / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (HERE / "models" / ".prepared").touch()
    print("models/dehum.onnx, two recordings in data/")


if __name__ == "__main__":
    main()
