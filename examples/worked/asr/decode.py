"""Morse code from the sound of one key, frame by frame, for as long as the sequence lasts."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from asr.morse import LETTERS

TONE = slice(25, 36)  # bins of the spectrum around 600 Hz
LOUD = 20.0
GAP_LETTER, GAP_WORD = 3, 7  # frames of silence


class Greedy:
    """What was heard so far travels as `hyp`: how long the key has been down or up, and the signs of the letter."""

    def __call__(self, *, feats: np.ndarray, last: bool, hyp: dict[str, Any] | None) -> Iterator[str]:
        """f32[T, 512], a frame of 50 ms each. Yields letters as soon as they are sure; the rest is the new state."""
        state = dict(hyp) if hyp else {"down": 0, "up": 0, "signs": "", "spaced": True}
        for frame in feats:
            if frame[TONE].max() > LOUD:
                state["down"] += 1
                state["up"] = 0
                continue
            if state["down"]:
                state["signs"] += "." if state["down"] < 2 else "-"
                state["spaced"] = False
            state["down"], state["up"] = 0, state["up"] + 1
            if state["up"] == GAP_LETTER and state["signs"]:
                yield LETTERS.get(state["signs"], "?")
                state["signs"] = ""
            elif state["up"] == GAP_WORD and not state["spaced"]:
                yield " "
                state["spaced"] = True
        if last and state["signs"]:
            yield LETTERS.get(state["signs"], "?")
        return state
