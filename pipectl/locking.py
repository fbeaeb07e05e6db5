"""Artifacts against lock files: making a lock, and telling which files are not those that were locked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from backends.base import BackendError
from backends.tensors import Tensors, tensors_of
from pipeline_dsl import syntax
from pipeline_dsl.check.artifacts import LOCK_CODES, Artifact, artifacts_of
from pipeline_dsl.check.options import Options
from pipeline_dsl.diagnostics import CompileError, Diagnostic, Sink
from pipeline_dsl.errors.load import VERSIONS_DIFFER
from pipeline_dsl.errors.locks import ArtifactChanged
from pipeline_dsl.ir import Contract
from pipeline_dsl.locks import SUFFIX, BadLock, Lock, LockedStage, read_lock
from pipeline_dsl.parse import parse
from pipeline_dsl.plan import StagePlan
from pipeline_dsl.read import read

from .errors import ArtifactError


def locked(path: Path, options: Options) -> Lock:
    """The lock of a file: what its artifacts are now. CompileError or ArtifactError with all that is wrong."""
    artifacts = _of_file(path, options)
    stages: dict[str, list[Artifact]] = {}
    for artifact in artifacts:
        stages.setdefault(artifact.stage, []).append(artifact)
    problems: list[ArtifactError] = []
    found = {}
    for name, files in stages.items():
        try:
            stage = _stage(files)
        except ArtifactError as error:
            problems.append(error)
            continue
        if stage.artifacts:
            found[name] = stage
    if problems:
        raise ArtifactError("\n".join(map(str, problems)), problems[0].hint)
    return Lock(found)


def changed(path: Path, options: Options) -> list[Diagnostic]:
    """W0310 for each artifact that is not as locked. Nothing without a lock file, or with one that is none."""
    lock_file = Path(f"{path}{SUFFIX}")
    if not lock_file.is_file():
        return []
    try:
        lock = read_lock(lock_file.read_text(encoding="utf-8"))
        artifacts = _of_file(path, options)
    except (BadLock, OSError, ValueError, CompileError):
        return []  # told by the checker
    return [d for a in artifacts if (d := _change(a, lock)) is not None]


def _of_file(path: Path, options: Options) -> list[Artifact]:
    sink = Sink()
    module: syntax.Module = parse(read(path), sink)
    artifacts = artifacts_of(module, options, sink) if not sink.has_errors else []
    errors = [d for d in sink.errors if d.code not in LOCK_CODES]
    if errors:
        raise CompileError(errors)
    return artifacts


def _stage(files: Sequence[Artifact]) -> LockedStage:
    """All files of one stage. Versions must have the same tensors."""
    digests: dict[str, str] = {}
    tensors: dict[str, Tensors | None] = {}
    for artifact in files:
        place = _place(artifact)
        if place is None and artifact.kind == "code":
            continue  # installed, not ours to lock
        if place is None:
            text = f"{artifact.span}: stage `{artifact.stage}`: there is no file {Path(artifact.folder, artifact.path)}"
            raise ArtifactError(text, "paths are relative to the .pipe file")
        digests[artifact.path] = _digest(place)
        if artifact.kind == "model":
            tensors[artifact.path] = _tensors(artifact, place)
    if len(set(tensors.values())) > 1:
        first, *others = tensors
        other = next(o for o in others if tensors[o] != tensors[first])
        text = f"stage `{files[0].stage}`: {VERSIONS_DIFFER.code}: {first} and {other} have different tensors"
        raise ArtifactError(text, f"`pipectl explain {VERSIONS_DIFFER.code}` says more")
    inputs, outputs = next((t for t in tensors.values() if t is not None), (None, None))
    return LockedStage(digests, inputs, outputs)


def _tensors(artifact: Artifact, place: Path) -> Tensors | None:
    try:
        return tensors_of(_plan(artifact), place)
    except BackendError as error:
        raise ArtifactError(str(error), error.hint) from error


def _plan(artifact: Artifact) -> StagePlan:
    """As much of a stage as reading its file needs."""
    return StagePlan(
        index=0,
        name=artifact.stage,
        version=None,
        backend=artifact.backend,
        arguments={"artifact": artifact.path},
        contract=Contract(),
        folder=artifact.folder,
        inputs=(),
        outputs=(),
        bounds=(),
        has_rows=False,
    )


def _change(artifact: Artifact, lock: Lock) -> Diagnostic | None:
    stage = lock.stages.get(artifact.stage)
    if stage is None or artifact.path not in stage.artifacts:
        return None
    place = _place(artifact)
    if place is None:
        return ArtifactChanged(artifact.span, artifact.stage, artifact.path, "is gone").diagnostic()
    if _digest(place) != stage.artifacts[artifact.path]:
        return ArtifactChanged(artifact.span, artifact.stage, artifact.path, "has changed").diagnostic()
    return None


def _place(artifact: Artifact) -> Path | None:
    """The file itself; None if it is not there."""
    return next((p for p in _candidates(artifact) if p.is_file()), None)


def _candidates(artifact: Artifact) -> Iterator[Path]:
    path = Path(artifact.folder, artifact.path)
    yield path
    if artifact.kind == "code":
        yield path.with_suffix("") / "__init__.py"


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise ArtifactError(f"{path}: {(error.strerror or str(error)).lower()}") from error
