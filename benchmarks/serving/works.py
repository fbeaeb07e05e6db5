"""What is served: five works, each written once as values, steps and requests.

A `Work` is what Triton's configurations, mosec's chain and the bare loop are made from; `works/` holds the same as
pipelines. The functions of the steps are in `works/work_stages.py` for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "works"
MODELS = HERE.parents[1] / "examples" / "embed" / "models"

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Value:
    """A tensor between steps: KServe's datatype, and its dims without rows (-1: any)."""

    datatype: str
    dims: tuple[int, ...] = ()


@dataclass(frozen=True)
class Step:
    """A call of `function`, by its parameters; `gives` names what it returns, in order."""

    name: str
    function: str
    takes: Mapping[str, str]
    gives: tuple[str, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    instances: int = 1


@dataclass(frozen=True)
class Work:
    """`rows` is the limit of a batch; 0: every request is a call of its own."""

    name: str
    what: str
    values: Mapping[str, Value]
    input: str
    output: str
    steps: tuple[Step, ...]
    rows: int = 32
    delay_us: int = 1000
    levels: tuple[int, ...] = (1, 8, 32, 64)

    @property
    def prepared(self) -> bool:
        """Whether the model files it needs are there."""
        return "text" not in self.values or (MODELS / "encoder.onnx").exists()

    def step(self, name: str, **changes: Any) -> Work:
        """The same with one step changed."""
        return replace(self, steps=tuple(replace(s, **changes) if s.name == name else s for s in self.steps))


X16 = Value("FP32", (16,))
IMAGE = Value("FP32", (3, 640, 640))


def texts(name: str, length: int, *, pad: bool, what: str) -> Work:
    """Tokenise -> MiniLM -> pool; `length` is that of every row with `pad`, else the longest."""
    tokens = Value("INT64", (length if pad else -1,))
    hidden = Value("FP32", (length if pad else -1, 384))
    tokeniser = {"file": str(MODELS / "tokenizer.json"), "longest": length, "pad": pad}
    return Work(
        name,
        what,
        {"text": Value("BYTES"), "ids": tokens, "mask": tokens, "hidden": hidden, "embedding": Value("FP32", (384,))},
        "text",
        "embedding",
        (
            Step("tokenise", "work_stages:Tokeniser", {"text": "text"}, ("ids", "mask"), tokeniser),
            Step(
                "encoder",
                "work_stages:Encoder",
                {"input_ids": "ids", "attention_mask": "mask"},
                ("hidden",),
                {"file": str(MODELS / "encoder.onnx")},
            ),
            Step("pool", "work_stages:mean_pool", {"hidden": "hidden", "mask": "mask"}, ("embedding",)),
        ),
    )


W2 = Work(
    "w2",
    "four chained y = x + 1 on float32[16]",
    {name: X16 for name in ("x", "a", "b", "c", "y")},
    "x",
    "y",
    tuple(
        Step(name, "work_stages:add_one", {"x": taken}, (given,))
        for name, taken, given in (("one", "x", "a"), ("two", "a", "b"), ("three", "b", "c"), ("four", "c", "y"))
    ),
    delay_us=0,
)
W3 = Work(
    "w3",
    "a diamond with two branches of about 2 ms of BLAS",
    {name: X16 for name in ("x", "a", "b", "c", "y")},
    "x",
    "y",
    (
        Step("root", "work_stages:add_one", {"x": "x"}, ("a",)),
        Step("left", "work_stages:Product", {"x": "a"}, ("b",), {"size": 480}),
        Step("right", "work_stages:Product", {"x": "a"}, ("c",), {"size": 480}),
        Step("joined", "work_stages:join", {"left": "b", "right": "c"}, ("y",)),
    ),
    rows=0,
)
W4 = Work(
    "w4",
    "two identity stages on float32[3, 640, 640]",
    {name: IMAGE for name in ("x", "a", "y")},
    "x",
    "y",
    (
        Step("first", "work_stages:identity", {"x": "x"}, ("a",)),
        Step("second", "work_stages:identity", {"x": "a"}, ("y",)),
    ),
    rows=0,
    levels=(1, 4),
)
W1 = texts("w1", 32, pad=True, what="tokenise -> MiniLM -> pool, texts padded to 32 tokens")
W5 = texts("w5", 128, pad=False, what="the same with texts of 4 to 128 tokens")
WORKS = {work.name: work for work in (W1, W2, W3, W4, W5)}

WORDS = (
    "the river runs past an old stone house where my uncle keeps books about ships and birds he says that every "
    "summer brings new people who walk along the water with dogs children and cameras but nobody stays for long"
)
"""Each is one token of MiniLM's vocabulary."""


@cache
def inputs(name: str) -> tuple[Array, ...]:
    """What clients send in turn: one row each, the same in every run. Texts are arrays of `str`."""
    source = np.random.default_rng(0)
    if name in ("w1", "w5"):
        least, most = (22, 32) if name == "w1" else (4, 128)
        lengths = [int(n) for n in source.integers(least, most + 1, 64)]
        # The tokeniser adds one token before the text and one behind it.
        words = WORDS.split()
        return tuple(np.array([" ".join(source.choice(words, n - 2))], object) for n in lengths)
    work = WORKS[name]
    shape = ((1,) if work.rows else ()) + work.values[work.input].dims
    count = 4 if name == "w4" else 16
    return tuple(source.standard_normal(shape, np.float32) for _ in range(count))
