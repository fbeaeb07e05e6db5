"""Local copies of what is served from stores, and how they follow their stores.

    Store --changed?--> a new copy --scan--> Sources (each with its Origin) --Repository.sync--> served

Every copy is a new folder, so that what runs from an old one is not disturbed; an old one goes when nothing runs from
it. A copy that fails leaves everything as it was, and its reason is in the index of the repository.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from .deployment import Origin, Source
from .repository import Repository
from .sources import SourceError
from .stores import Listing, Store

_log = logging.getLogger("pipectl")

Scan = Callable[[Path], list[Source]]
"""The sources of a file or folder."""


class Copy(NamedTuple):
    """A store as it was at one moment."""

    listing: Listing
    folder: Path
    sources: tuple[Source, ...]


class Mirror:
    """The copies of one server. `refresh`, `sweep` and `close` take their time: they are for threads."""

    def __init__(self, stores: Iterable[Store], scan: Scan) -> None:
        self.stores = tuple(stores)
        self._scan = scan
        self._root: Path | None = None
        self._count = 0
        self._copies: dict[Store, Copy] = {}
        self._useless: dict[Store, tuple[Listing, SourceError]] = {}
        """Stores that were copied and hold nothing to serve, not to be copied again before they change."""
        self._old: list[Path] = []
        """Folders of earlier copies."""
        self._stop = threading.Event()
        self._busy = threading.Lock()

    def sources(self) -> list[Source]:
        """What the copies of now hold."""
        return [source for store in self.stores for source in self.of(store)]

    def of(self, store: Store) -> tuple[Source, ...]:
        copy = self._copies.get(store)
        return () if copy is None else copy.sources

    def refresh(self, store: Store) -> bool:
        """Copy a store if it changed since its last copy; whether it did. SourceError leaves the last copy."""
        with self._busy:
            return self._refresh(store)

    def refresh_all(self) -> None:
        """Copy what changed of every store."""
        for store in self.stores:
            self.refresh(store)

    def _refresh(self, store: Store) -> bool:
        listing = store.listing()
        last = self._copies.get(store)
        if last is not None and last.listing == listing:
            return False
        seen = self._useless.get(store)
        if seen is not None and seen[0] == listing:
            raise seen[1]
        self._copies[store] = self._copied(store, listing)
        if last is not None:
            self._old.append(last.folder)
        return True

    def _copied(self, store: Store, listing: Listing) -> Copy:
        folder = self._folder()
        try:
            store.copy(listing, folder, self._stop)
            try:
                sources = tuple(self._scanned(store, folder))
            except SourceError as error:
                self._useless[store] = (listing, error)
                raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._useless.pop(store, None)
        return Copy(listing, folder, sources)

    def _scanned(self, store: Store, folder: Path) -> list[Source]:
        if store.file and not (folder / store.file).is_file():
            raise SourceError(f"{store.url}: there is no {store.file}")
        try:
            found = self._scan(folder / store.file)
        except SourceError as error:
            raise SourceError(str(error).replace(str(folder), store.url)) from None
        return [replace(s, origin=Origin(store.url, s.path.relative_to(folder).as_posix(), folder)) for s in found]

    def _folder(self) -> Path:
        """A new folder that only this user can read."""
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="pipectl-")).resolve()
        self._count += 1
        made = self._root / str(self._count)
        made.mkdir(mode=0o700)
        return made

    def sweep(self, used: Iterable[Source]) -> None:
        """Remove earlier copies of which nothing is used."""
        kept = {source.origin.folder for source in used if source.origin is not None}
        with self._busy:
            for folder in [folder for folder in self._old if folder not in kept]:
                shutil.rmtree(folder, ignore_errors=True)
                self._old.remove(folder)

    def close(self) -> None:
        """Remove all copies; one that is being made is given up."""
        self._stop.set()
        with self._busy:
            if self._root is not None:
                shutil.rmtree(self._root, ignore_errors=True)
                self._root = None


async def follow(
    repository: Repository,
    mirror: Mirror,
    rescan: Callable[[], list[Source]],
    interval: float,
    stop: asyncio.Event,
    turn: asyncio.Lock,
) -> None:
    """Look at all stores every `interval` seconds until `stop`, and serve what changed. `rescan` gives all sources of
    the server, `turn` is held while they change."""
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), interval)
            return
        await look(repository, mirror, mirror.stores, rescan, turn)


async def look(
    repository: Repository,
    mirror: Mirror,
    stores: Sequence[Store],
    rescan: Callable[[], list[Source]],
    turn: asyncio.Lock,
) -> None:
    """Look at stores once."""
    for store in stores:
        before = mirror.of(store)
        try:
            changed = await asyncio.to_thread(mirror.refresh, store)
            repository.stale(before, "")
            if not changed:
                continue
            async with turn:
                await repository.sync(await asyncio.to_thread(rescan), mirror.of(store))
        except (SourceError, OSError) as error:
            repository.stale(before, str(error))
            _log.error("served as before: %s", error)
        else:
            _log.info("%s was copied and loaded again", store.url)
    if not repository.retiring:
        await asyncio.to_thread(mirror.sweep, repository.used())
