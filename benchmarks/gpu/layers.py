"""Stages of the benchmark: small networks with weights from a seed, computed with torch or with numpy.

    small    [n, w...] -> the same              one product and a bias
    join     several [n, w] -> [n, w]           their mean, through a product
    stem     [n, 3, 64, 64] -> [n, 32, 32, 32]  a convolution of stride 2
    tower    [n, 32, 32, 32] -> [n, 128]        two more, and their mean
    tokens   [n, 32, 32, 32] -> [n, 64, 128]    patches of 4 x 4
    encode   [n, 64, 128] -> the same           one layer of a transformer, 4 heads
    pool     [n, 64, 128] -> [n, 128]           the mean of tokens
    head     two [n, 128] -> [n, 10]            logits

All is f32. Both libraries compute from the same weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WIDTH = 256
"""Of rows of `small` and `join`."""
CHANNELS, HIDDEN, HEADS, CLASSES = 32, 128, 4, 10

Weights = dict[str, Any]


def weights(kind: str, seed: int) -> Weights:
    """Of a stage, as numpy arrays."""
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> Any:
        scale = np.sqrt(2.0 / np.prod(shape[1:] if len(shape) == 4 else shape[:1]))
        return (rng.standard_normal(shape) * scale).astype(np.float32)

    h = HIDDEN
    made: dict[str, dict[str, tuple[int, ...]]] = {
        "small": {"w": (WIDTH, WIDTH), "b": (WIDTH,)},
        "join": {"w": (WIDTH, WIDTH)},
        "stem": {"k": (CHANNELS, 3, 4, 4)},
        "tower": {"k": (2 * CHANNELS, CHANNELS, 4, 4), "l": (h, 2 * CHANNELS, 4, 4)},
        "tokens": {"k": (h, CHANNELS, 4, 4)},
        "encode": {"qkv": (h, 3 * h), "o": (h, h), "up": (h, 2 * h), "down": (2 * h, h)},
        "pool": {},
        "head": {"w": (2 * h, CLASSES)},
    }
    return {name: some(*shape) for name, shape in made[kind].items()}


class Stage:
    """One stage: `python("benchmarks.gpu.layers:Stage", kind = .., seed = .., library = .., on = ..)`."""

    def __init__(self, *, kind: str, seed: int, library: str = "numpy", on: str = "cpu") -> None:
        """`library`: torch or numpy. `on`: where torch keeps the weights."""
        self.kind = kind
        self.weights = weights(kind, seed)
        self.compute: Any = NumpyLayers
        if library == "torch":
            import torch

            self.weights = {name: torch.from_numpy(w).to(on) for name, w in self.weights.items()}
            self.compute = torch_layers()

    def __call__(self, **inputs: Any) -> Any:
        """The output for inputs in the order of their ports."""
        return getattr(self.compute, self.kind)(self.weights, *inputs.values())


class NumpyLayers:
    """The kinds, with numpy."""

    @staticmethod
    def small(w: Weights, x: Any) -> Any:
        return np.maximum(x @ w["w"] + w["b"], 0)

    @staticmethod
    def join(w: Weights, *xs: Any) -> Any:
        return np.maximum(np.mean(np.stack(xs), 0, dtype=np.float32) @ w["w"], 0)

    @staticmethod
    def stem(w: Weights, x: Any) -> Any:
        return np.maximum(_convolved(x, w["k"], 2, 1), 0)

    @staticmethod
    def tower(w: Weights, x: Any) -> Any:
        x = np.maximum(_convolved(x, w["k"], 2, 1), 0)
        return np.maximum(_convolved(x, w["l"], 2, 1), 0).mean((2, 3), dtype=np.float32)

    @staticmethod
    def tokens(w: Weights, x: Any) -> Any:
        made = _convolved(x, w["k"], 4, 0)
        return np.ascontiguousarray(made.reshape(*made.shape[:2], -1).transpose(0, 2, 1))

    @staticmethod
    def encode(w: Weights, x: Any) -> Any:
        n, length, width = x.shape
        parts = (_normed(x) @ w["qkv"]).reshape(n, length, 3, HEADS, width // HEADS)
        q, k, v = parts.transpose(2, 0, 3, 1, 4)
        scores = q @ k.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // HEADS))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = x + mixed.transpose(0, 2, 1, 3).reshape(n, length, width) @ w["o"]
        return x + np.maximum(_normed(x) @ w["up"], 0) @ w["down"]

    @staticmethod
    def pool(w: Weights, x: Any) -> Any:
        return x.mean(1, dtype=np.float32)

    @staticmethod
    def head(w: Weights, a: Any, b: Any) -> Any:
        return np.concatenate([a, b], 1) @ w["w"]


def _convolved(x: Any, kernel: Any, stride: int, pad: int) -> Any:
    """A convolution of images [n, c, h, w] with kernels [out, c, k, k]."""
    size = kernel.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride]
    return np.ascontiguousarray(np.tensordot(seen, kernel, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2))


def _normed(x: Any) -> Any:
    middle = x.mean(-1, keepdims=True, dtype=np.float32)
    return (x - middle) / np.sqrt(x.var(-1, keepdims=True, dtype=np.float32) + np.float32(1e-5))


def torch_layers() -> Any:
    """The kinds, with torch, on whatever device inputs and weights are. Convolutions are exact to f32, as products
    are."""
    import torch
    from torch.nn import functional as f

    torch.backends.cudnn.allow_tf32 = False

    class TorchLayers:
        @staticmethod
        def small(w: Weights, x: Any) -> Any:
            return torch.relu(torch.addmm(w["b"], x, w["w"]))

        @staticmethod
        def join(w: Weights, *xs: Any) -> Any:
            return torch.relu(torch.stack(xs).mean(0) @ w["w"])

        @staticmethod
        def stem(w: Weights, x: Any) -> Any:
            return torch.relu(f.conv2d(x, w["k"], stride=2, padding=1))

        @staticmethod
        def tower(w: Weights, x: Any) -> Any:
            x = torch.relu(f.conv2d(x, w["k"], stride=2, padding=1))
            return torch.relu(f.conv2d(x, w["l"], stride=2, padding=1)).mean((2, 3))

        @staticmethod
        def tokens(w: Weights, x: Any) -> Any:
            return f.conv2d(x, w["k"], stride=4).flatten(2).transpose(1, 2).contiguous()

        @staticmethod
        def encode(w: Weights, x: Any) -> Any:
            n, length, width = x.shape
            parts = (f.layer_norm(x, (width,)) @ w["qkv"]).view(n, length, 3, HEADS, width // HEADS)
            q, k, v = parts.permute(2, 0, 3, 1, 4)
            mixed = f.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width)
            x = x + mixed @ w["o"]
            return x + torch.relu(f.layer_norm(x, (width,)) @ w["up"]) @ w["down"]

        @staticmethod
        def pool(w: Weights, x: Any) -> Any:
            return x.mean(1)

        @staticmethod
        def head(w: Weights, a: Any, b: Any) -> Any:
            return torch.cat((a, b), 1) @ w["w"]

    return TorchLayers
