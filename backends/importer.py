"""Finds user code: `pkg.mod:name`, first in the folder of the `.pipe`, then among installed packages.

A folder in use stands in front of `sys.path`. Two folders that bring the same top-level module can not share
a process: the second is refused while the first is in use, and takes its place once that is released.
Modules are imported under one lock; whatever goes wrong is a `BackendError` with the user's exception as its
cause."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline_dsl.spell import did_you_mean

from .base import BackendError

_lock = threading.RLock()
_in_use: dict[str, int] = {}
"""Folders whose code this process has imported -> instances that use it."""
_before: dict[str, frozenset[str]] = {}
"""Names of the modules that were loaded before a folder's first: `forget` leaves them alone."""


def acquire(target: str, folder: str, stage: str) -> Any:
    """The object `pkg.mod:name`; the folder counts as in use until `release`. BackendError if it can not be
    had."""
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise BackendError(f"stage `{stage}`: {target!r} names no object", 'write python("package.module:name")')
    root = str(Path(folder).resolve())
    with _lock:
        found = _attribute(_module(module_name, root, stage), attribute, target, stage)
        _in_use[root] = _in_use.get(root, 0) + 1
    return found


def release(folder: str) -> None:
    """One user of the folder's code less."""
    root = str(Path(folder).resolve())
    with _lock:
        _in_use[root] = max(_in_use.get(root, 0) - 1, 0)


def forget(folder: str) -> None:
    """Drop the modules that came from a folder and take it off `sys.path`; the next `acquire` imports them again.
    Modules that were loaded before the folder's first stay."""
    root = str(Path(folder).resolve())
    with _lock:
        before = _before.pop(root, frozenset(sys.modules))
        tops = {n for n, m in sys.modules.items() if n not in before and "." not in n and _is_direct(m, root)}
        for name in [n for n in sys.modules if n.partition(".")[0] in tops]:
            del sys.modules[name]
        if root in sys.path:
            sys.path.remove(root)
        _in_use.pop(root, None)
        importlib.invalidate_caches()


def _module(name: str, root: str, stage: str) -> ModuleType:
    _make_room(root, stage)
    top = name.partition(".")[0]
    spec = _find(top, root)
    if spec is None:
        message = f"stage `{stage}`: there is no module `{top}` in {root}, nor installed"
        raise BackendError(message, did_you_mean(top, _brought_by(root)) or "modules are looked up beside the .pipe")
    _refuse_foreign(top, spec, root, stage)
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)
    importlib.invalidate_caches()
    _before.setdefault(root, frozenset(sys.modules))
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise _import_failed(name, root, stage, error) from error


def _find(top: str, root: str) -> ModuleSpec | None:
    """Where the top-level module would come from, folders of other pipelines left out."""
    others = {folder for folder in _in_use if folder != root}
    path = [root, *(entry for entry in sys.path if entry not in others and entry != root)]
    for finder in sys.meta_path:  # editable installs bring finders of their own
        where = path if finder is PathFinder else None
        spec = finder.find_spec(top, where)
        if spec is not None:
            return spec
    loaded = sys.modules.get(top)
    if loaded is None or any(_is_below(_origin(loaded), folder) for folder in others):
        return None
    return ModuleSpec(top, None)


def _make_room(root: str, stage: str) -> None:
    """Drop idle folders that bring a module of the same name; refuse if one is in use."""
    mine = _brought_by(root)
    for other, users in list(_in_use.items()):
        if other == root:
            continue
        clash = sorted(name for name in mine if _is_below(_origin(sys.modules.get(name)), other, direct=True))
        if clash and users:
            raise _conflict(clash[0], other, root, stage)
        if clash:
            forget(other)


def _refuse_foreign(top: str, spec: ModuleSpec, root: str, stage: str) -> None:
    """A module of that name, loaded by someone else from elsewhere, would be taken for the folder's own."""
    loaded = _origin(sys.modules.get(top))
    expected = _spec_origin(spec)
    if loaded and expected and _is_below(expected, root, direct=True) and not _is_below(loaded, root):
        raise _conflict(top, loaded, root, stage)


def _conflict(name: str, first: str, second: str, stage: str) -> BackendError:
    message = f"stage `{stage}`: module `{name}` is in {second}, and one of that name is loaded from {first}"
    return BackendError(message, "set `isolate = process` for one of the stages, or rename one of the modules")


def _brought_by(root: str) -> list[str]:
    """Names of the top-level modules a folder brings."""
    try:
        entries = sorted(Path(root).iterdir())
    except OSError:
        return []
    return [
        entry.stem
        for entry in entries
        if entry.stem.isidentifier() and (entry.suffix == ".py" or (entry.is_dir() and any(entry.glob("*.py"))))
    ]


def _origin(module: ModuleType | None) -> str:
    if module is None:
        return ""
    spec = getattr(module, "__spec__", None)
    return _spec_origin(spec) if spec is not None else str(getattr(module, "__file__", "") or "")


def _spec_origin(spec: ModuleSpec) -> str:
    """File of a module; folder of a namespace package."""
    if spec.origin and spec.has_location:
        return str(Path(spec.origin).resolve())
    locations = list(spec.submodule_search_locations or ())
    return str(Path(locations[0]).resolve()) if locations else ""


def _is_below(path: str, root: str, direct: bool = False) -> bool:
    """Whether a module's file lies below a folder; `direct`: as a top-level module of it."""
    if not path or not Path(path).is_relative_to(root):
        return False
    depth = len(Path(path).relative_to(root).parts)
    return not direct or depth == 1 or (depth == 2 and Path(path).name == "__init__.py")


def _is_direct(module: ModuleType, root: str) -> bool:
    """Whether a top-level module stands in a folder itself, not in an environment somewhere below it."""
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return False
    places = spec.submodule_search_locations or [spec.origin or ""]
    return any(os.path.dirname(place) == root for place in places)


def _import_failed(name: str, root: str, stage: str, error: BaseException) -> BackendError:
    if isinstance(error, ModuleNotFoundError) and error.name and name.startswith(error.name):
        folder = Path(root, *error.name.split(".")[:-1])
        hint = (
            did_you_mean(error.name.rpartition(".")[2], _brought_by(str(folder)))
            or "modules are looked up beside the .pipe"
        )
        return BackendError(f"stage `{stage}`: there is no module `{error.name}` in {root}, nor installed", hint)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = f"install the package that brings `{error.name}`"
    place = _place(error, root)
    text = f"{type(error).__name__}: {error}"
    return BackendError(f"stage `{stage}`: importing `{name}` failed{place}: {text}", hint)


def _place(error: BaseException, root: str) -> str:
    """` at FILE:LINE`, the innermost place in the user's own code."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" at {error.filename}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(root)]
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _attribute(module: ModuleType, attribute: str, target: str, stage: str) -> Any:
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [n for n in vars(found) if not n.startswith("_")]
            hint = did_you_mean(part, names) or (f"it has {', '.join(names[:8])}" if names else "")
            raise BackendError(f"stage `{stage}`: {target}: {_origin(module)} has no `{part}`", hint)
        found = getattr(found, part)
    return found
