"""Guards against other distributions that bring a package with one of our names.

`grammar`, `executor` and `backends` are names on the package index as well. Installed beside ours, such a package is
found first or, worse, writes over our files; imports then fail in ways that point elsewhere. The check looks at where
names resolve, without importing them.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NAMES = ("grammar", "backends", "executor")


def assert_ours(home: Path, names: tuple[str, ...] = NAMES) -> None:
    """ImportError if a name resolves elsewhere than beside `home` (the folder that holds our packages), or if a
    distribution of that name has been installed over it."""
    for name in names:
        found = location(name)
        if found is not None and found.resolve() != (home / name).resolve():
            raise ImportError(_message(name, f"is found in {found}, not in {home}"))
    for name in foreign(home, names):
        raise ImportError(_message(name, f"was written over by the distribution `{name}`"))


def location(name: str) -> Path | None:
    """The folder (or file) a top-level name would be imported from; None if there is none."""
    spec = find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def foreign(home: Path, names: tuple[str, ...]) -> list[str]:
    """Names for which another distribution has left its record in `home`."""
    records = {path.name.partition("-")[0] for path in home.glob("*-*.dist-info")}
    return [name for name in names if name in records]


def _message(name: str, what: str) -> str:
    return (
        f"package `{name}` of pipectl {what}: another distribution has the same name. "
        f"Remove it (`pip uninstall {name}`) and install pipectl again, best in an environment of its own"
    )
