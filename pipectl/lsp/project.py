"""What the server knows: open texts, what was found in them, and when to look again.

Everything here happens on the event loop but the looking itself. An answer takes what is there: the last analysis of a
text, and the last one whose text could be read whole. A change is looked at after a moment without another.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline_dsl.diagnostics import Diagnostic
from pipeline_dsl.index import Shift

from .analysis import Analysis, analyse
from .documents import Document, Documents

DELAY = 0.15
"""Seconds without a change before a text is looked at."""

REST = 5.0
"""Seconds in which nothing happens before garbage is collected."""

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """One text with what was found in it a moment ago."""

    analysis: Analysis
    shift: Shift

    @property
    def current(self) -> bool:
        """Whether nothing was changed since."""
        return self.shift.old == self.shift.new


@dataclass(slots=True)
class _State:
    """Of one open text."""

    now: Analysis | None = None
    whole: Analysis | None = None
    """The last that could be read whole."""
    timer: asyncio.TimerHandle | None = None
    running: asyncio.Task[None] | None = None
    looking_at: str = ""
    """The text of the running analysis."""
    missed: bool = False
    """Whether there is a newer text that waited long enough."""


@dataclass(slots=True)
class Project:
    """All open texts. `publish` is told the mistakes of a path whenever they were looked for."""

    publish: Callable[[str, list[Diagnostic]], None]
    delay: float = DELAY
    documents: Documents = field(default_factory=Documents)
    _states: dict[str, _State] = field(default_factory=dict)
    _shown: dict[str, dict[str, list[Diagnostic]]] = field(default_factory=dict)
    """Mistakes by the open file that was checked, then by the file they are in."""
    _resting: asyncio.TimerHandle | None = None
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "analysis"))

    # ---- what happens to texts

    def opened(self, document: Document) -> None:
        self._states[document.path] = _State()
        self._touch(document.path, soon=True)
        self._touch_importers(document.path)

    def changed(self, document: Document) -> None:
        self._touch(document.path)
        self._touch_importers(document.path)

    def closed(self, document: Document) -> None:
        state = self._states.pop(document.path, None)
        if state is not None:
            if state.timer is not None:
                state.timer.cancel()
            _forget({state.now, state.whole})
        before = self._shown.pop(document.path, {})
        self._publish({document.path, *before})
        self._touch_importers(document.path)

    def files_changed(self, paths: Iterable[str]) -> None:
        """Files that are not open were written, made or removed."""
        for path in paths:
            self._touch_importers(path)

    def stop(self) -> None:
        """Forgets everything; what runs may end."""
        for state in self._states.values():
            if state.timer is not None:
                state.timer.cancel()
        if self._resting is not None:
            self._resting.cancel()
        self._worker.shutdown(wait=False, cancel_futures=True)

    # ---- what is known

    def views(self, document: Document) -> list[View]:
        """The last analysis, and the last of a text that could be read whole if that is an older one."""
        state = self._states.get(document.path)
        found = [] if state is None else [a for a in (state.now, state.whole) if a is not None]
        return [View(a, Shift(a.text, document.text)) for a in dict.fromkeys(found)]

    async def known(self, document: Document) -> list[View]:
        """`views`, after the first analysis if there is none yet."""
        self._rest()
        if not self.views(document):
            await self._look(document)
        return self.views(document)

    async def known_at(self, document: Document, offset: int) -> list[View]:
        """`known`; for a place that was written just now, after the analysis of the text as it is."""
        views = await self.known(document)
        if views and views[0].shift.to_old(offset) is None:
            await self._look(document)
        return self.views(document)

    async def exact(self, document: Document) -> View | None:
        """The analysis of this very text; None if it was changed or closed meanwhile."""
        state = self._states.get(document.path)
        if state is not None and (state.now is None or state.now.text != document.text):
            await self._look(document)
        views = self.views(document)
        return views[0] if views and views[0].current else None

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Runs something long beside the event loop, after what is looked at now."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    # ---- looking

    def _touch(self, path: str, *, soon: bool = False) -> None:
        state = self._states.get(path)
        if state is None:
            return
        if state.timer is not None:
            state.timer.cancel()
        loop = asyncio.get_running_loop()
        state.timer = loop.call_later(0 if soon else self.delay, self._start, path)

    def _touch_importers(self, path: str) -> None:
        for other, state in self._states.items():
            if other != path and state.now is not None and path in state.now.files:
                self._touch(other)

    def _start(self, path: str) -> asyncio.Task[None] | None:
        """The analysis of a text as it is now. While one of an older version runs, that one; the next follows it."""
        state, document = self._states.get(path), self.documents.by_path.get(path)
        if state is None or document is None:
            return None
        if state.timer is not None:
            state.timer.cancel()
            state.timer = None
        if state.running is None or state.running.done():
            state.looking_at = document.text
            state.running = asyncio.ensure_future(self._run(state, document))
        else:
            state.missed = state.looking_at != document.text
        return state.running

    async def _look(self, document: Document) -> None:
        """Returns once a text has been looked at, or is not the text any more."""
        while self.documents.by_path.get(document.path) is document:
            task = self._start(document.path)
            if task is None:
                return
            looking_at = self._states[document.path].looking_at
            await asyncio.shield(task)  # whoever waits may be cancelled; what is found is of use to others
            if looking_at == document.text:
                return

    async def _run(self, state: _State, document: Document) -> None:
        try:
            await self._found(state, document)
        finally:
            if state.missed and self._states.get(document.path) is state:
                state.missed = False
                self._touch(document.path, soon=True)

    async def _found(self, state: _State, document: Document) -> None:
        texts = self.documents.texts()
        self._rest()
        try:
            found = await self.in_thread(lambda: analyse(document.path, document.text, document.version, texts))
        except Exception:  # a mistake of ours must not end the session; what was known stays
            _log.exception("looking at %s failed", document.path)
            return
        if self._states.get(document.path) is not state:
            return
        before = {state.now, state.whole}
        state.now = found
        if found.whole:
            state.whole = found
        _forget(before - {state.now, state.whole})
        if self.documents.by_path[document.path].text == document.text:
            self._show(document.path, found)

    def _rest(self) -> None:
        """Collects garbage after a while without questions and analyses: it stops everything for a moment."""
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(REST, gc.collect)

    def _show(self, path: str, analysis: Analysis) -> None:
        before = self._shown.get(path, {})
        found: dict[str, list[Diagnostic]] = {path: []}
        for diagnostic in analysis.diagnostics:
            found.setdefault(diagnostic.span.source.path, []).append(diagnostic)
        self._shown[path] = found
        self._publish({*before, *found})

    def _publish(self, paths: set[str]) -> None:
        """An open file has the mistakes found when it was checked itself; others, those their importers met."""
        for path in sorted(paths):
            if path in self._states:
                found = self._shown.get(path, {}).get(path, [])
            else:
                found = list(dict.fromkeys(d for by_file in self._shown.values() for d in by_file.get(path, [])))
            self.publish(path, found)


def _forget(analyses: set[Analysis | None]) -> None:
    for analysis in analyses:
        if analysis is not None:
            analysis.index.forget()
