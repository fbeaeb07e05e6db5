"""The `.pipe` files of a path: a file itself, or a folder as a repository.

PATH.pipe                        version 1
FOLDER/*.pipe                    version 1 each
FOLDER/NAME/VERSION/*.pipe       versions side by side, chosen by FOLDER/NAME/pipe.toml:

    versions = "latest"          or "all", or [3, 5]; the highest one without the file
    latest = 2                   how many
    profile = "gpu"
    params = { MODELS = "/srv/models" }
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .deployment import Source

POLICY = "pipe.toml"


class SourceError(ValueError):
    """A path that can not be served; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Which versions of a folder are served, and how they are compiled."""

    wanted: tuple[int, ...] | None = None
    """None: the `latest` highest."""
    latest: int = 1
    every: bool = False
    profile: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    def choose(self, there: Sequence[int], place: Path) -> list[int]:
        """The versions to serve, ascending. SourceError for one that is not there."""
        if self.every:
            return sorted(there)
        if self.wanted is None:
            return sorted(there)[-self.latest :]
        for version in self.wanted:
            if version not in there:
                listed = ", ".join(map(str, sorted(there)))
                raise SourceError(f"{place / POLICY}: there is no version {version}; versions: {listed or 'none'}")
        return sorted(self.wanted)


def sources(path: Path, profile: str | None = None, params: Mapping[str, str] | None = None) -> list[Source]:
    """All `.pipe` files that a path serves. SourceError if there is none."""
    base = Source(path, 1, profile, dict(params or {}))
    if not path.is_dir():
        return [base]
    found = [replace(base, path=file) for file in sorted(path.glob("*.pipe"))]
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        found += _versions(folder, base)
    if not found:
        raise SourceError(f"{path}: no .pipe files, and no folders NAME/VERSION/ that hold some")
    return found


def _versions(folder: Path, base: Source) -> Iterator[Source]:
    there = {int(p.name): p for p in folder.iterdir() if p.is_dir() and p.name.isascii() and p.name.isdigit()}
    there = {n: p for n, p in there.items() if n > 0 and any(p.glob("*.pipe"))}
    policy_file = folder / POLICY
    if not there and not policy_file.exists():
        return
    policy = _policy(policy_file) if policy_file.exists() else Policy()
    for version in policy.choose(list(there), folder):
        for file in sorted(there[version].glob("*.pipe")):
            yield Source(file, version, base.profile or policy.profile, {**policy.params, **base.params})


def _policy(path: Path) -> Policy:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"{path}: {error}") from None
    unknown = sorted(set(table) - {"versions", "latest", "profile", "params"})
    if unknown:
        raise SourceError(f"{path}: there is no key `{unknown[0]}`; keys: versions, latest, profile, params")
    versions = table.get("versions", "latest")
    latest = table.get("latest", 1)
    if type(latest) is not int or latest < 1:
        raise SourceError(f"{path}: latest = {latest!r}; write a whole number from 1")
    return Policy(_wanted(versions, path), latest, versions == "all", _profile(table, path), _params(table, path))


def _wanted(versions: Any, path: Path) -> tuple[int, ...] | None:
    if versions in ("latest", "all"):
        return None
    if isinstance(versions, list) and versions and all(type(v) is int and v > 0 for v in versions):
        return tuple(versions)
    raise SourceError(f'{path}: versions = {versions!r}; write "latest", "all" or a list of versions, [3, 5]')


def _profile(table: Mapping[str, Any], path: Path) -> str | None:
    profile = table.get("profile")
    if profile is not None and not isinstance(profile, str):
        raise SourceError(f"{path}: profile = {profile!r}; write a name")
    return profile


def _params(table: Mapping[str, Any], path: Path) -> dict[str, str]:
    params = table.get("params", {})
    if not isinstance(params, dict) or not all(isinstance(v, str | int | float) for v in params.values()):
        raise SourceError(f"{path}: params = {params!r}; write {{ NAME = value }}")
    return {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in params.items()}
