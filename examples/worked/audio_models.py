"""The models of audio.pipe. For prepare.py."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx_models import BOOL, FLOAT, Node, helper, model

CHUNK, FRAME, BINS, LAYERS = 1600, 800, 512, 12
KEPT = 8  # frames


def vad() -> onnx.ModelProto:
    """Whether there was sound in this chunk or shortly before: `h` holds the loudest, halved with each chunk; `c`
    counts them."""
    node = helper.make_node

    def clear(state: str, to: str) -> list[Node]:
        return [node("Where", ["START", "zeros", state], [to])]

    nodes = [
        *clear("h0", "h"),
        *clear("c0", "c"),
        node("Abs", ["pcm"], ["size"]),
        node("ReduceMean", ["size"], ["loud"], keepdims=0),
        node("Mul", ["h", "half"], ["faded"]),
        node("Max", ["faded", "loud"], ["hn"]),
        node("Add", ["c", "one"], ["counted"]),
        node("Where", ["END", "zeros", "counted"], ["cn"]),
        node("ReduceMax", ["hn"], ["held"], keepdims=0),
        node("Greater", ["held", "least"], ["speech"]),
        node("Tanh", ["held"], ["prob"]),
    ]
    state = (FLOAT, [2, 1, 64])
    return model(
        nodes,
        {"pcm": (FLOAT, [CHUNK]), "START": (BOOL, []), "END": (BOOL, []), "h0": state, "c0": state},
        {"speech": (BOOL, []), "prob": (FLOAT, []), "hn": state, "cn": state},
        zeros=np.zeros((2, 1, 64), np.float32),
        half=np.float32(0.5),
        one=np.float32(1),
        least=np.float32(0.015),
    )


class Encoder(torch.nn.Module):
    """Spectra of two frames, less what all kept frames have in common: a steady noise is not heard."""

    def forward(self, pcm: torch.Tensor, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        frames = pcm.reshape(-1, 800)
        spectrum = torch.abs(torch.fft.rfft(frames, 1023))
        kept = cache[0]
        floor = kept.min(0)[0] if kept.size(0) >= 4 else torch.zeros(512)
        layers = spectrum[None].repeat(12, 1, 1)
        return torch.clamp(spectrum - floor, min=0.0), torch.cat([cache, layers], 1)[:, -8:]


def save_encoder(file: Path) -> None:
    torch.jit.script(Encoder().eval()).save(str(file))
