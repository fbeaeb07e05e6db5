"""What is served at one moment, by name and version. Frozen: a reload puts another catalog in its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from executor.errors import InvalidArgument, NotFound, Unavailable
from pipeline_dsl.spell import did_you_mean

from .deployment import Deployment, Served, ServedStep

MAX_NAME = 256
"""Characters of a name that clients send."""


class Clash(ValueError):
    """Two sources give the same version of the same pipeline."""


class Catalog:
    """Pipelines and their steps, each with its versions."""

    def __init__(
        self, deployments: Iterable[Deployment] = (), known: Mapping[str, str] | None = None, *, growing: bool = False
    ) -> None:
        """`known`: names that are not served now, and why. `growing`: files are being read whose pipelines are not
        known yet. Clash if two deployments have the same."""
        self.deployments = tuple(deployments)
        self.growing = growing
        self.known = dict(known or {})
        self.pipelines: dict[str, dict[int, Served]] = {}
        self.steps: dict[str, dict[int, ServedStep]] = {}
        for deployment in self.deployments:
            for served in deployment.served.values():
                self._add(served)
        self._latest = {name: versions[max(versions)] for name, versions in self.pipelines.items()}

    def _add(self, served: Served) -> None:
        versions = self.pipelines.setdefault(served.name, {})
        other = versions.get(served.version)
        if other is not None:
            one, two = other.deployment.source.place, served.deployment.source.place
            raise Clash(f"pipeline `{served.name}`, version {served.version}, is in {one} and in {two}")
        versions[served.version] = served
        for name, step in served.steps.items():
            self.steps.setdefault(name, {})[served.version] = step

    def __iter__(self) -> Iterator[Served]:
        return (served for versions in self.pipelines.values() for served in versions.values())

    def pipeline(self, name: str, version: str = "") -> Served:
        """The version asked for, or the latest. NotFound, or Unavailable if it is known but not served now."""
        if not version:
            found = self._latest.get(name)
            if found is not None:
                return found
        elif name in self.pipelines:
            return self.pipelines[name][self._number(name, version, self.pipelines[name])]
        if name in self.steps:
            pipeline = next(iter(self.steps[name].values())).served.name
            raise InvalidArgument(f"`{shown(name)}` is a step of pipeline `{pipeline}`; ask the pipeline")
        raise self._missing(name)

    def find(self, name: str, version: str = "") -> Served | ServedStep:
        """A pipeline, or one of the steps inside."""
        steps = self.steps.get(name)
        if steps is None or name in self.pipelines:
            return self.pipeline(name, version)
        return steps[self._number(name, version, steps) if version else max(steps)]

    def _number(self, name: str, version: str, versions: Mapping[int, object]) -> int:
        if not (version.isascii() and version.isdigit() and len(version) <= 19):
            raise InvalidArgument(f"`{shown(name)}`: version {shown(version)!r} is no whole number")
        if int(version) not in versions:
            listed = ", ".join(map(str, sorted(versions)))
            raise NotFound(f"`{shown(name)}` has no version {int(version)}; versions: {listed}")
        return int(version)

    def _missing(self, name: str) -> NotFound | Unavailable:
        if name in self.known:
            return Unavailable(f"pipeline `{name}` is not served now: {self.known[name]}")
        if self.growing:
            return Unavailable(f"pipeline `{shown(name)}` is not served yet: files are being loaded")
        names = sorted(self.pipelines)
        hint = did_you_mean(name[:MAX_NAME], names) or f"pipelines: {', '.join(names[:20]) or 'none'}"
        return NotFound(f"there is no pipeline `{shown(name)}`; {hint}")


def shown(text: str) -> str:
    """A client's text as messages may show it."""
    cut = text if len(text) <= 80 else text[:77] + "..."
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode()
