"""What may be asked."""

import re

FORBIDDEN = {"password", "weapon", "poison"}
VAGUE = 3  # words; a question with fewer is not sure to be one


def judge(*, text: str) -> str:
    """`ok`, `unsure` or `no`."""
    words = re.findall(r"\w+", text.lower())
    if FORBIDDEN & set(words):
        return "no"
    return "ok" if len(words) >= VAGUE else "unsure"
