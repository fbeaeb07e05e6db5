"""Prints a story word by word while it is written, then another from the middle of which the reader walks away.

python examples/stream/tell.py The class
"""

import sys
from pathlib import Path

import pipectl

HERE = Path(__file__).resolve().parent


def main() -> None:
    start = " ".join(sys.argv[1:]) or "The class"
    with pipectl.load(HERE / "stream.pipe") as app:
        print(start, end="")
        for piece in app["story"].stream(start=start, seed=1):
            if "word" in piece:
                print("", piece["word"], end="", flush=True)
            elif "text" in piece:
                print(f"\n({piece['finish']}, {len(piece['text'].split())} words)")
        endless = app["story"].stream(start=start, most=10_000, outputs=["word"])
        first = next(endless)["word"]
        endless.close()  # cancels the request: the generator is closed where it stands
        print(f"read one word, {first!r}, and left")


if __name__ == "__main__":
    main()
