"""Finds the sentence of page.txt that is nearest in meaning to a question.

python examples/embed/search.py "How do patients get to a hospital quickly?"
"""

import sys
from pathlib import Path

import numpy as np

import pipectl

HERE = Path(__file__).resolve().parent


def search(question: str, sentences: list[str], best: int = 3) -> list[tuple[float, str]]:
    """The `best` sentences with their cosine similarity to `question`, the nearest first."""
    with pipectl.load(HERE / "embed.pipe", profile="cpu") as app:
        embed = app["embed"]
        page: np.ndarray = embed(text=sentences)["embedding"]
        asked: np.ndarray = embed(text=[question])["embedding"][0]
    similarity = page @ asked
    return [(float(similarity[i]), sentences[i]) for i in np.argsort(-similarity)[:best]]


def main() -> None:
    question = " ".join(sys.argv[1:]) or "How do patients get to a hospital quickly?"
    sentences = (HERE / "page.txt").read_text(encoding="utf-8").splitlines()
    for similarity, sentence in search(question, sentences):
        print(f"{similarity:.3f}  {sentence}")


if __name__ == "__main__":
    main()
