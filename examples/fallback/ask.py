"""One journey, the service in each of its states, all at the same time.

python examples/fallback/ask.py
"""

from pathlib import Path

import pipectl

HERE = Path(__file__).resolve().parent
HAMBURG, MUNICH = [53.55, 9.99], [48.14, 11.58]


def main() -> None:
    with pipectl.load(HERE / "fallback.pipe", profile="cpu") as app:
        states = ("well", "hiccup", "slow", "down")
        jobs = {s: app["distance"].submit(start=HAMBURG, goal=MUNICH, state=s, id=s) for s in states}
        for state, job in jobs.items():
            answer = job.result()
            print(
                f"{state:7} {answer['km']:6.1f} km by {answer['by']:5} {answer.seconds * 1000:4.0f} ms  {answer['why']}"
            )


if __name__ == "__main__":
    main()
