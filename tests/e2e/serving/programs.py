"""What the server of these tests serves beside the examples: every construct of the language, and streams."""

from __future__ import annotations

import os
from pathlib import Path

STAGES = """
import itertools


def lengths(*, word):
    return [len(one) for one in word]


def loud(*, word):
    return [one.upper() for one in word]


def strict(*, word):
    if "bad" in word:
        raise ValueError("that word is bad")
    return word


def doubled(*, x):
    return x * 2


def scores(*, x):
    return x


def write(*, topic, n):
    for i in range(n):
        yield f"{topic}{i}"
    return n


def endless(*, n):
    for i in itertools.count(n):
        yield f"{i}" * 1000


def breaks(*, n):
    yield "first"
    raise ValueError("the stream broke")
"""

PIPE = """pipe 1

stage lengths(word: string[*]) -> (length: i64[*]) using python("MODULE:lengths")
stage loud(word: string[*]) -> (word: string[*]) using python("MODULE:loud")
stage strict(word: string[*]) -> (word: string[*]) using python("MODULE:strict")
stage doubled(x: f32[*, 4]) -> (x: f32[*, 4]) using python("MODULE:doubled")
stage scores(x: f32[*, 4]) -> (score: f32[*, 4]) using python("MODULE:scores") { labels { score = "labels.txt" } }
stage write(topic: string, n: i64) -> (word: stream string, words: i64) using python("MODULE:write")
stage endless(n: i64) -> (word: stream string) using python("MODULE:endless")
stage breaks(n: i64) -> (word: stream string) using python("MODULE:breaks")

## Each word by itself: long ones as they are, short ones loud, bad ones replaced.
pipeline words(host: string, word: string[N]) -> (line: string[N], good: bool[N], total: i64[N], arm: string) {
  line, good, total = map (max = 100) one in word {
    safe, ok = try {
      yield strict(one), true
    } fallback err {
      yield "you", false
    }
    size = lengths(safe)
    text = if size > 5 {
      yield safe
    } else {
      yield loud(safe)
    }
    yield text, ok, size
  }
  arm = route by host {
    to stable weight 90% {
      yield "stable"
    }
    to canary weight 10% {
      yield "canary"
    }
  }
  return line, good, total, arm
}

pipeline numbers(x: f32[*, 4]) -> (y: f32[*, 4], score: f32[*, 4]) {
  y = doubled(x)
  return y, score = scores(y)
}

## Words as they are written; how many there were comes with the end.
pipeline story(topic: string, n: i64 = 3) -> (word: stream string, size: stream i64, words: i64) {
  w = write(topic, n)
  size = map one in w.word {
    yield lengths(one)
  }
  return word = w.word, size, words = w.words
}

pipeline chatter(n: i64 = 0) -> (word: stream string) {
  return word = endless(n)
}

pipeline broken(n: i64 = 0) -> (word: stream string) {
  return word = breaks(n)
}
"""


def language(folder: Path) -> Path:
    """The file of these pipelines, with its module of stages beside it."""
    module = f"language_{os.getpid()}"
    (folder / f"{module}.py").write_text(STAGES)
    (folder / "labels.txt").write_text("zero\none\ntwo\nthree\n")
    path = folder / "language.pipe"
    path.write_text(PIPE.replace("MODULE", module))
    return path
