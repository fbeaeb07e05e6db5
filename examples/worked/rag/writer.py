"""Stands in for a language model: answers with the passage that shares most with the question, word by word.

Passages come best first, and a later one needs more in common to be taken."""

import random
import re
from collections.abc import Iterator


class Writer:
    """Reads the prompt of rag.pipe: a line of instruction, the passages, a line with the question."""

    def __init__(self, *, stop: list[str]) -> None:
        self.stop = stop

    def __call__(self, *, prompt: str, max_tokens: int, temperature: float) -> Iterator[str]:
        """Tokens are words with what stands before them; what it returns at its end is `finish`."""
        *lines, question = prompt.strip().split("\n")
        asked = words(question.removeprefix("Question: "))
        passages = lines[1:] or ["I do not know."]
        marks = [len(words(p) & asked) - 0.5 * i + temperature * random.random() for i, p in enumerate(passages)]
        best = passages[marks.index(max(marks))]
        for number, token in enumerate(re.findall(r"\s*\S+", best)):
            if number == max_tokens:
                return "length"
            if token.strip() in self.stop:
                break
            yield token
        return "stop"


def words(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}
