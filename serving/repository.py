"""What is loaded, and how that changes while requests run.

    Source --compile--> Plan --Engine--> Deployment --(new Catalog)--> served; the old one drains and stops

A change is one assignment of `catalog`: a request holds the deployment it found until it has ended. One that fails
leaves everything as it was, and its reason is in the index.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from backends.importer import forget
from executor.engine import Engine
from executor.errors import LoadError, NotFound, RequestError, Unavailable
from pipeline_dsl.diagnostics import CompileError
from pipeline_dsl.plan import Plan

from .catalog import Catalog, Clash, shown
from .deployment import Deployment, Source

Compile = Callable[[Source], Plan]
"""The plan of a source for this machine. CompileError with all mistakes."""

LOAD_ERRORS = (CompileError, LoadError, Clash, OSError, RequestError)
"""What keeps a source from being served through no fault of ours."""

_log = logging.getLogger("pipectl")


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of one pipeline, as the index of the repository lists it."""

    name: str
    version: str
    state: str
    """READY, LOADING, UNLOADING or UNAVAILABLE."""
    reason: str = ""


class Repository:
    """All sources of a server. Its coroutines belong to one event loop."""

    def __init__(self, sources: Iterable[Source], compile: Compile) -> None:  # noqa: A002 - what it is
        self.sources = tuple(sources)
        self.catalog = Catalog()
        self.leaving = False
        """Asked to stop: not ready any more, but still answering."""
        self.draining = False
        """Refuses requests."""
        self.on_change: list[Callable[[], None]] = []
        """Called after `catalog` changed."""
        self._compile = compile
        self._control = asyncio.Lock()
        self._by_source: dict[tuple[str, int], Deployment] = {}
        self._failed: dict[tuple[str, int], str] = {}
        self._stale: dict[tuple[str, int], str] = {}
        """Why what is served may not be the newest."""
        self._names: dict[tuple[str, int], tuple[str, ...]] = {}
        """Pipelines of each source, as last loaded."""
        self._current: dict[tuple[str, int], Source] = {_key(s): s for s in self.sources}
        self._loading: set[tuple[str, int]] = set(self._current)
        self._retiring: set[asyncio.Task[None]] = set()

    # ---- state

    def ready(self) -> bool:
        """Every source is served, and requests are taken."""
        return not self.leaving and bool(self._by_source) and self._by_source.keys() == self._current.keys()

    def index(self) -> list[IndexEntry]:
        """All pipelines, those that failed or were unloaded too."""
        entries = []
        for key in self._current:
            deployment = self._by_source.get(key)
            reason = self._failed.get(key) or self._stale.get(key, "")
            names = tuple(deployment.served) if deployment else self._names_of(key)
            state = "READY" if deployment else "LOADING" if key in self._loading else "UNAVAILABLE"
            entries += [IndexEntry(name, str(key[1]), state, reason) for name in names]
        for key in self._names.keys() - self._current.keys():
            entries += [IndexEntry(name, str(key[1]), "UNAVAILABLE", "unloaded") for name in self._names[key]]
        return sorted(entries, key=lambda e: (e.name, int(e.version)))

    # ---- changes

    async def start(self, strict: bool = True) -> None:
        """Load all sources. With `strict` the first that fails is raised, with nothing left running."""
        async with self._control:
            self._switch()
            for source in self.sources:
                try:
                    await self._load(source)
                except LOAD_ERRORS as error:
                    if strict:
                        await self._stop_all()
                        raise
                    _log.error("%s is not served: %s", source, source.told(str(error)))

    async def load(self, name: str, overrides: Mapping[str, str] | None = None, profile: str | None = None) -> None:
        """Load the sources of a pipeline, again if they run. NotFound for a name that no source has or had.

        `overrides` are params, `profile` a profile, that take the place of those the source came with."""
        async with self._control:
            for source in self._sources_of(name):
                changed = source
                if overrides or profile:
                    changed = replace(
                        source, params={**source.params, **(overrides or {})}, profile=profile or source.profile
                    )
                try:
                    await self._load(changed)
                except LOAD_ERRORS as error:
                    raise Unavailable(
                        f"pipeline `{shown(name)}` was not loaded: {source.told(_told(error))}"
                    ) from error

    async def reload(self, source: Source) -> bool:
        """Load a source again because its file changed; whether that worked."""
        async with self._control:
            try:
                await self._load(source)
            except LOAD_ERRORS as error:
                _log.error("%s is served as before: %s", source, source.told(_told(error)))
                return False
        return True

    async def sync(self, sources: Iterable[Source], changed: Iterable[Source]) -> None:
        """Serve these sources and no others: load new and changed ones, unload those that are gone."""
        wanted = {_key(s): s for s in sources}
        again = {_key(s) for s in changed} | (wanted.keys() - self._current.keys())
        self.sources = tuple(wanted.values())
        for key in again & wanted.keys():
            await self.reload(wanted[key])
        async with self._control:
            for key in self._current.keys() - wanted.keys():
                self._drop(key)

    def stale(self, sources: Iterable[Source], reason: str) -> None:
        """Say in the index why sources could not be renewed; "" once they could."""
        for source in sources:
            if reason:
                self._stale[_key(source)] = reason
            else:
                self._stale.pop(_key(source), None)

    def used(self) -> list[Source]:
        """Sources that run, but for those that are `retiring`, or that may be loaded again."""
        running = [deployment.source for deployment in self._by_source.values()]
        return [*running, *self._current.values(), *self.sources]

    @property
    def retiring(self) -> bool:
        """Deployments that were replaced still run."""
        return bool(self._retiring)

    async def unload(self, name: str) -> None:
        """Serve the sources of a pipeline no more; what is under way ends. NotFound for a name that is unknown."""
        async with self._control:
            for source in self._sources_of(name):
                self._names.setdefault(_key(source), (name,))
                self._drop(_key(source))

    def leave(self) -> None:
        """Not ready from here on, for balancers to send requests elsewhere; those that come are answered."""
        self.leaving = True
        for call in self.on_change:
            call()

    async def drain(self, seconds: float | None) -> bool:
        """Refuse new requests, wait for those under way; False if that took longer."""
        self.draining = True
        self.leave()
        begun = asyncio.get_running_loop().time()
        held = [asyncio.ensure_future(d.unused()) for d in self._by_source.values()]
        waiting = [*held, *self._retiring]
        pending = (await asyncio.wait(waiting, timeout=seconds))[1] if waiting else set()
        for task in held:
            task.cancel()
        left = None if seconds is None else max(0.0, seconds - (asyncio.get_running_loop().time() - begun))
        engines = [d.engine for d in self._by_source.values()]
        rested = await asyncio.gather(*[asyncio.to_thread(engine.drain, left) for engine in engines])
        return not pending and all(rested)

    async def settled(self) -> None:
        """Return when every deployment that was replaced or unloaded has stopped."""
        await asyncio.gather(*self._retiring, return_exceptions=True)

    async def stop(self, seconds: float = 5.0) -> None:
        """End what is under way and release everything."""
        self.leaving = self.draining = True
        async with self._control:
            for task in self._retiring:
                task.cancel()
            await self._stop_all(seconds)

    # ---- parts

    async def _load(self, source: Source) -> None:
        """Compile, start, warm up, switch; the old one goes on until the new one is there."""
        key = _key(source)
        self._loading.add(key)
        try:
            deployment = await asyncio.to_thread(self._open, source)
        except LOAD_ERRORS as error:
            self._loading.discard(key)
            self._failed[key] = source.told(_told(error))
            self._current.setdefault(key, source)
            self._switch()
            raise
        self._loading.discard(key)
        old = self._by_source.get(key)
        self._by_source[key] = deployment
        try:
            self._switch()
        except Clash as error:
            self._restore(key, old, error)
            await asyncio.to_thread(deployment.engine.stop, 0)
            raise
        self._current[key] = source
        self._names[key] = tuple(deployment.served)
        self._failed.pop(key, None)
        if old is not None:
            self._retire(old)

    def _drop(self, key: tuple[str, int]) -> None:
        """Serve a source no more."""
        deployment = self._by_source.pop(key, None)
        self._current.pop(key, None)
        self._failed.pop(key, None)
        self._switch()
        if deployment is not None:
            self._retire(deployment)

    def _restore(self, key: tuple[str, int], old: Deployment | None, error: Clash) -> None:
        self._failed[key] = str(error)
        if old is None:
            del self._by_source[key]
        else:
            self._by_source[key] = old

    def _open(self, source: Source) -> Deployment:
        """(a thread) A deployment that is ready. Python modules of the folder are imported anew."""
        plan = self._compile(source)
        for other in list(self._by_source.values()):
            for folder in {stage.folder for stage in other.plan.stages if stage.backend == "python"}:
                if _same_place(other.source, source):
                    forget(folder)
        engine = Engine(plan)
        try:
            engine.start()
        except BaseException:
            engine.stop(0)
            raise
        return Deployment(source, plan, engine)

    def _switch(self) -> None:
        """Serve what `_by_source` holds from here on. Clash leaves the catalog as it was."""
        absent = self._names.keys() - self._by_source.keys()
        known = {name: "it was unloaded" for key in absent for name in self._names[key]}
        for key in self._loading:
            known |= dict.fromkeys(self._names_of(key), "it is loading")
        for key, reason in self._failed.items():
            known |= dict.fromkeys(self._names_of(key), reason)
        growing = not self._loading <= self._names.keys()
        self.catalog = Catalog(self._by_source.values(), known, growing=growing)
        for call in self.on_change:
            call()

    def _names_of(self, key: tuple[str, int]) -> tuple[str, ...]:
        """Pipelines of a source as far as it is known which."""
        source = self._current.get(key)
        return self._names.get(key, () if source is None else (_stem(source),))

    def _sources_of(self, name: str) -> list[Source]:
        """Sources that have, or had, a pipeline of that name, or are called so."""
        everything = {_key(s): s for s in self.sources} | self._current
        found = [
            source
            for key, source in everything.items()
            if name in self._names.get(key, ()) or (key not in self._names and name == _stem(source))
        ]
        if not found:
            names = sorted({n for group in self._names.values() for n in group})
            raise NotFound(f"there is no pipeline `{shown(name)}` in the repository; pipelines: {', '.join(names)}")
        return found

    def _retire(self, deployment: Deployment) -> None:
        """Stop a deployment once nobody uses it."""
        task = asyncio.get_running_loop().create_task(self._retired(deployment))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retired(self, deployment: Deployment) -> None:
        try:
            await deployment.unused()
        finally:
            await asyncio.to_thread(deployment.engine.stop)

    async def _stop_all(self, seconds: float = 5.0) -> None:
        deployments = list(self._by_source.values())
        self._by_source = {}
        for deployment in deployments:
            await asyncio.to_thread(deployment.engine.stop, seconds)
        await asyncio.gather(*self._retiring, return_exceptions=True)


def _key(source: Source) -> tuple[str, int]:
    return source.place, source.version


def _stem(source: Source) -> str:
    """What a source that never loaded is called."""
    return source.path.stem


def _same_place(one: Source, two: Source) -> bool:
    """Versions of one pipeline, or one file loaded again: their modules have the same names."""
    if one.origin and two.origin and one.origin.store == two.origin.store:
        return one.origin.folder != two.origin.folder or one.path == two.path
    return one.path == two.path or (one.path.parent != two.path.parent and one.path.name == two.path.name)


def _told(error: Exception) -> str:
    """A failure in one line, for an index or a client."""
    if isinstance(error, CompileError):
        first = error.diagnostics[0]
        more = f" (and {len(error.diagnostics) - 1} more)" if len(error.diagnostics) > 1 else ""
        return f"{first.span}: {first.code}: {first.message}{more}"
    return " ".join(str(error).split())
