"""Two recordings at once, a piece of each in turn: when somebody speaks, and how much hum is left.

    python examples/sequence/listen.py

The filter is late by 100 ms, one piece.
"""

from pathlib import Path

import numpy as np

import pipectl

HERE = Path(__file__).resolve().parent
PIECE = 800
LATE = 800  # samples


def hum(signal: np.ndarray) -> float:
    """Strength of the mains in a signal at 8 kHz: 50, 100 and 150 Hz."""
    time = np.arange(len(signal)) / 8000
    waves = [np.exp(-2j * np.pi * f * time) * np.hanning(len(signal)) for f in (50, 100, 150)]
    return float(sum(abs(wave @ signal) for wave in waves)) / len(signal)


def main() -> None:
    recordings = {name: np.load(HERE / "data" / f"{name}.npz") for name in ("one", "two")}
    pieces = {name: made["pcm"].reshape(-1, PIECE) for name, made in recordings.items()}
    count = len(pieces["one"])
    jobs: dict[str, list] = {name: [] for name in pieces}
    with pipectl.load(HERE / "sequence.pipe") as app:
        for i in range(count):
            for name in pieces:
                info = pipectl.SequenceInfo(name, start=i == 0, end=i == count - 1)
                jobs[name].append(app["listen"].submit(pcm=pieces[name][i], sequence=info))
        answers = {name: [job.result() for job in asked] for name, asked in jobs.items()}
    for name, found in answers.items():
        clean = np.concatenate([answer["clean"] for answer in found])
        heard = "".join("#" if answer["speech"] else "." for answer in found)
        before, after = hum(recordings[name]["pcm"]), hum(clean[2 * LATE :])
        print(f"{name}: {heard}  hum {before:.3f} -> {after:.3f}")


if __name__ == "__main__":
    main()
