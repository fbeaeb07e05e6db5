"""What ties the child's life to its parent's: it dies with it, and not before it because of a signal to everybody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_masks = threading.local()


def die_with_parent() -> None:
    """Have the system kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def leave_signals_to_parent() -> None:
    """A service manager may send SIGTERM to all processes at once; this one goes on until the parent has drained.

    Not SIG_IGN, which programs that the stage starts would inherit. What it forks dies of these signals as usual, from
    its first moment: they are held back during a fork, since Python drops those that arrive before it is complete."""
    for number in _SIGNALS:
        signal.signal(number, _go_on)
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_die_as_usual)


def _go_on(_number: int, _frame: object) -> None:
    pass


def _hold_back() -> None:
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _die_as_usual() -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is _go_on:
            signal.signal(number, signal.SIG_DFL)
    _let_through()
