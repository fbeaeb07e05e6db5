"""Start a child process, and say how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

_THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PACKAGES = str(Path(__file__).resolve().parents[2])


def spawn(module: str, fd: int, output: int, threads: int) -> subprocess.Popen[bytes]:
    """`module` on the socket `fd`, in a session of its own, writing to `output`. OSError if the system refuses.

    A new interpreter, not a fork: the parent has threads. `-P`: the current folder must not shadow modules."""
    return subprocess.Popen(
        [sys.executable, "-P", "-u", "-m", module, str(fd)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(fd,),
        start_new_session=True,
        env=_environment(threads),
    )


def _environment(threads: int) -> dict[str, str]:
    """The parent's, with our packages in reach and the compute threads bounded where nobody has bounded them."""
    environment = dict(os.environ)
    paths = [_PACKAGES, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    for name in _THREAD_SETTINGS:
        environment.setdefault(name, str(max(1, threads)))
    return environment


def kill_group(pid: int) -> None:
    """Kill a process that leads a group, and all of its group. The process must not be reaped: its number is ours
    until then."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # nothing is left of it


def how_it_ended(code: int) -> str:
    """An exit code of `Popen` in words: `was killed by SIGSEGV`."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    extra = " (from outside, or by the system for want of memory)" if name == "SIGKILL" else ""
    return f"was killed by {name}{extra}"
