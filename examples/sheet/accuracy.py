"""Sends every page through sheet.pipe and counts the digits that were read right.

python examples/sheet/accuracy.py
"""

from pathlib import Path

import pipectl

HERE = Path(__file__).resolve().parent


def right(read: list[str], true: list[str]) -> int:
    """Digits of numbers that were found whole, place by place."""
    if [len(number) for number in read] != [len(number) for number in true]:
        return 0  # a digit was missed or split: nothing behind it would stand in its place
    return sum(a == b for one, other in zip(read, true) for a, b in zip(one, other))


def main() -> None:
    pages = sorted((HERE / "data").glob("*.png"))
    with pipectl.load(HERE / "sheet.pipe", profile="cpu") as app:
        answers = list(app["sheet"].map({"image": page.read_bytes()} for page in pages))
    total = correct = 0
    for page, answer in zip(pages, answers):
        true = page.with_suffix(".txt").read_text(encoding="utf-8").split()
        here = right(list(answer["numbers"]), true)
        digits = len("".join(true))
        print(f"{page.name}: {len(true)} numbers, {here} of {digits} digits right")
        total += digits
        correct += here
    print(f"digits right {correct / total:.3f}")


if __name__ == "__main__":
    main()
