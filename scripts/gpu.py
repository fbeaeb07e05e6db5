"""Everything that needs a GPU, in one command: the tests marked `gpu`, then the benchmark, then a short table.

python scripts/gpu.py        exit code 1 if a test fails, if none could run, or if the benchmark fails.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCHMARK = "benchmarks.gpu"
PACKAGES = ("cupy-cuda13x", "torch", "onnxruntime-gpu", "onnxruntime", "tensorrt", "nvidia-ml-py", "numpy")


def main() -> int:
    counts = tests()
    bench = benchmark()
    rows = [*machine(), ("tests", ", ".join(f"{n} {what}" for what, n in counts.items())), ("benchmark", bench)]
    width = max(len(name) for name, _ in rows)
    print("\n" + "\n".join(f"{name:<{width}}  {text}" for name, text in rows))
    return int(bool(counts["failed"]) or not counts["passed"] or bench.startswith("failed"))


def tests() -> dict[str, int]:
    """How many ended how. A file that can not be imported fails by itself, and the others run."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs", "--continue-on-collection-errors"]
        command.append(f"--junitxml={report}")
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if not report.exists():
            return {"passed": 0, "failed": 1, "skipped": 0}
        suite = ElementTree.parse(report).getroot()[0].attrib
    failed, skipped = int(suite["failures"]) + int(suite["errors"]), int(suite["skipped"])
    passed = int(suite["tests"]) - failed - skipped
    return {"passed": passed, "failed": failed or int(code not in (0, 5)), "skipped": skipped}


def benchmark() -> str:
    """What became of it; it prints its own figures."""
    sys.path.insert(0, str(ROOT))
    if importlib.util.find_spec(BENCHMARK) is None:
        return f"not run: there is no {BENCHMARK}"
    command = [sys.executable, "-m", BENCHMARK, "--json", "benchmarks/latest.json"]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    return f"failed with exit code {code}" if code else "ran; figures above and in benchmarks/latest.json"


def machine() -> list[tuple[str, str]]:
    """GPUs, driver and packages."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().splitlines()
    except (OSError, subprocess.CalledProcessError):
        found = ["none that nvidia-smi shows"]
    return [*(("gpu", line) for line in found), ("packages", ", ".join(filter(None, map(version, PACKAGES))) or "none")]


def version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
