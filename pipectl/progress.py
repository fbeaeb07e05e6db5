"""A progress bar on stderr, where that is a terminal; nothing anywhere else."""

from __future__ import annotations

import sys

from .console import Session


class Progress:
    """Counts requests that ended. `hide` takes the bar away for good, before something else is printed."""

    def __init__(self, session: Session, count: int | None) -> None:
        self._bar = None
        if not sys.stderr.isatty() or count == 1:
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(stderr=True, no_color=not session.paints(sys.stderr), highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        self._task = self._bar.add_task("running", total=count)
        self._bar.start()

    def advance(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    def hide(self) -> None:
        """May be called again."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
