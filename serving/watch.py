"""Files that change: the sources below them are loaded again.

watchfiles -> changed paths -> sources whose folder they are in -> Repository.sync
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .deployment import Source
from .repository import Repository
from .sources import SourceError

DEBOUNCE_MS = 200
"""How long a burst of changes may go on before it is looked at."""

_log = logging.getLogger("pipectl")


def affected(changed: Iterable[Path], sources: Sequence[Source]) -> list[Source]:
    """Sources that a change in these files may concern: those in the same folder, or in one above."""
    folders = [path.resolve().parent for path in changed]
    return [s for s in sources if any(f.is_relative_to(s.path.resolve().parent) for f in folders)]


async def watch(
    repository: Repository,
    paths: Sequence[Path],
    rescan: Callable[[], list[Source]],
    stop: asyncio.Event,
    turn: asyncio.Lock | None = None,
) -> None:
    """Keep a repository like its files until `stop`. A file that is wrong leaves what is served as it was. `turn` is
    held while sources change."""
    turn = turn or asyncio.Lock()
    from watchfiles import awatch

    roots = {path if path.is_dir() else path.parent for path in paths}
    async for changes in awatch(*roots, stop_event=stop, debounce=DEBOUNCE_MS):
        async with turn:
            try:
                now = await asyncio.to_thread(rescan)
            except (SourceError, OSError) as error:
                _log.error("served as before: %s", error)
                continue
            await repository.sync(now, affected([Path(path) for _, path in changes], now))
