"""From a stage to the file it loads: relative paths, `{version}`, and clear words when the file is not
there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline_dsl.errors.load import ARTIFACT_DIFFERS, VERSIONS_DIFFER
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.spell import did_you_mean

from .base import BackendError

ARTIFACT = "artifact"
"""Name of a backend's first positional argument."""


def artifact_path(stage: StagePlan) -> Path:
    """The stage's artifact: relative to the folder of its `.pipe`, `{version}` filled in. BackendError if
    there is no such file."""
    given = str(stage.arguments.get(ARTIFACT, ""))
    if not given:
        raise BackendError(f"stage `{stage.name}` names no file", f'write {stage.backend}("model file")')
    path = Path(stage.folder, _with_version(given, stage))
    if path.is_dir():
        raise BackendError(f"stage `{stage.name}`: {path} is a folder, not a file")
    if not path.is_file():
        raise BackendError(f"stage `{stage.name}`: there is no file {path}", _nearby(path))
    return path


def missing_library(stage: StagePlan, package: str, extra: str, error: ImportError) -> BackendError:
    """What to say when the library behind a backend does not import."""
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        message = f"stage `{stage.name}`: backend `{stage.backend}` needs the package {package}"
    else:
        message = f"stage `{stage.name}`: importing {package} failed: {error}"
    return BackendError(message, f"pip install 'pipectl[{extra}]'")


def disagreement(stage: StagePlan, text: str, hint: str) -> BackendError:
    """What to say when a file is not what the signature says (E0310; E0311 where it is one of several versions)."""
    entry = VERSIONS_DIFFER if len(stage.contract.versions) > 1 else ARTIFACT_DIFFERS
    message = f"stage `{stage.name}`: {entry.code}: {text}"
    return BackendError(message, f"{hint}; `pipectl explain {entry.code}` says more")


def keys_of(stage: StagePlan, *known: str) -> dict[str, Any]:
    """The stage's arguments but the artifact and the `known` ones."""
    return {k: v for k, v in stage.arguments.items() if k != ARTIFACT and k not in known}


def _with_version(text: str, stage: StagePlan) -> str:
    if "{version}" not in text:
        return text
    if stage.version is None:
        message = f"stage `{stage.name}`: {text!r} holds {{version}}, but the stage has no versions"
        raise BackendError(message, "give `versions = [1]`, or a path without {version}")
    return text.replace("{version}", str(stage.version))


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either; paths are relative to the .pipe file"
    try:
        others = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    except OSError:
        others = []
    return did_you_mean(path.name, others) or "paths are relative to the .pipe file"
