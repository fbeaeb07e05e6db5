"""Prints lines per Python and grammar file, largest last, and per top-level folder.

python scripts/size.py        300 lines is where a split is considered, 60 to 200 is usual.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path

CONSIDER_A_SPLIT = 300


def tracked() -> list[Path]:
    """What git knows and what it would add, without what it ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.lark", "*.pipe"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for path in map(Path, listed.stdout.splitlines()) if path.exists()]


def report(sizes: dict[Path, int]) -> list[str]:
    """The lines to print: files by size, then folders."""
    folders: Counter[str] = Counter()
    for path, lines in sizes.items():
        folders[path.parts[0]] += lines
    files = [
        f"{lines:6d}  {path}{'  <- split?' if lines > CONSIDER_A_SPLIT else ''}"
        for path, lines in sorted(sizes.items(), key=lambda item: item[1])
    ]
    return [*files, "", *(f"{lines:6d}  {folder}" for folder, lines in folders.most_common())]


if __name__ == "__main__":
    counted = {path: len(path.read_bytes().splitlines()) for path in tracked()}
    sys.stdout.write("\n".join(report(counted)) + "\n")
