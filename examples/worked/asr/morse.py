"""Listens to Morse code: the sound of a key, to letters."""

import numpy as np

RATE = 16_000
UNIT = 800  # samples of a dot: 50 ms
CODE = dict(
    zip(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        [
            ".-",
            "-...",
            "-.-.",
            "-..",
            ".",
            "..-.",
            "--.",
            "....",
            "..",
            ".---",
            "-.-",
            ".-..",
            "--",
            "-.",
            "---",
            ".--.",
            "--.-",
            ".-.",
            "...",
            "-",
            "..-",
            "...-",
            ".--",
            "-..-",
            "-.--",
            "--..",
        ],
    )
)
LETTERS = {code: letter for letter, code in CODE.items()}


def listen(*, audio: np.ndarray) -> str:
    """f32[S], 16 kHz, to text: words of A to Z; what is no letter is `?`."""
    units = len(audio) // UNIT
    on = np.abs(audio[: units * UNIT]).reshape(units, UNIT).mean(axis=1) > 0.1
    edges = np.flatnonzero(np.diff(on, prepend=False, append=False))
    text, letter = "", ""
    for start, stop, following in zip(edges[::2], edges[1::2], [*edges[2::2], units + 7]):
        letter += "." if stop - start < 2 else "-"
        if following - stop >= 3:
            text, letter = text + LETTERS.get(letter, "?"), ""
        if following - stop >= 7:
            text += " "
    return text.strip()


def key(text: str) -> np.ndarray:
    """The sound of a text: what `listen` hears."""
    units: list[bool] = []
    for word in text.upper().split():
        for letter in word:
            for sign in CODE[letter]:
                units += [True] * (1 if sign == "." else 3) + [False]
            units += [False] * 2
        units += [False] * 4
    tone = np.sin(2 * np.pi * 600 * np.arange(len(units) * UNIT) / RATE) * 0.5
    return (tone * np.repeat(units, UNIT)).astype(np.float32)
