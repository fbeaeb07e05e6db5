"""The folders of an exported repository: configurations, artifacts, and what python stages need.

Everything is written beside the target and put in its place at the end, so that a failure leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Literal

from google.protobuf import text_format

from pipectl.errors import ConversionError
from pipeline_dsl import ir
from pipeline_dsl.unparse import to_text
from serving.protocol import pool

from .exporting import Exported, Repository
from .model import Model
from .single_stage import module_of
from .stages import NATIVE

Artifacts = Literal["copy", "link", "none"]
"""copy: files are copied. link: links to where they are. none: only configurations are written."""


def write_repository(repository: Repository, target: Path, artifacts: Artifacts) -> None:
    """Write all models into a folder that does not exist or is empty."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConversionError(f"{target}: there is something already", "name a new or an empty folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        for entry in repository.entries:
            _write(entry, draft / entry.folder, artifacts)
        draft.chmod(0o755)
        if target.exists():
            target.rmdir()
        os.replace(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _write(entry: Exported, folder: Path, artifacts: Artifacts) -> None:
    folder.mkdir()
    text = text_format.MessageToString(entry.config, descriptor_pool=pool())
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    model, stage = entry.model, entry.stage
    versions = model.versions if model is not None and model.versions else (1,)
    for version in versions:
        (folder / str(version)).mkdir()
        if artifacts != "none" and model is not None and stage is not None:
            for source, place in _files(stage, model, version):
                _put(source, folder / str(version) / place, artifacts, model)
    if model is not None and stage is not None and artifacts != "none":
        for tensor in model.outputs:
            if tensor.labels:
                _put(Path(tensor.labels), folder / Path(tensor.labels).name, artifacts, model)
        if model.backend == "python":
            _python(stage, folder / str(versions[0]))


def _files(stage: ir.Stage, model: Model, version: int) -> Iterator[tuple[Path, str]]:
    """What a version folder holds: each file, and its place in there."""
    if stage.backend in NATIVE:
        path = Path(model.artifact.replace("{version}", str(version)))
        yield path, path.name
        yield from ((p, p.name) for p in _companions(path))
    elif model.backend == "python":
        yield from _code(stage)


def _companions(path: Path) -> list[Path]:
    """Weights that ONNX keeps beside its file: `model.onnx.data`, `model.onnx_data`."""
    if not path.parent.is_dir():
        return []
    return sorted(p for p in path.parent.iterdir() if p.name != path.name and p.name.startswith(path.name))


def _code(stage: ir.Stage) -> Iterator[tuple[Path, str]]:
    """The module of a python stage, where it lies beside its `.pipe`, and files that its arguments name."""
    folder = Path(stage.folder or ".")
    top = str(stage.arguments.get("artifact", "")).partition(":")[0].partition(".")[0]
    if stage.backend == "python":
        found = [p for p in (folder / f"{top}.py", folder / top) if p.exists()]
        yield from ((p, p.name) for p in found[:1])
    for name, value in stage.arguments.items():
        if name != "artifact" and isinstance(value, str) and _inside(value) and (folder / value).is_file():
            yield folder / value, value


def _inside(path: str) -> bool:
    """Whether a relative path stays where it starts."""
    return bool(path) and not os.path.isabs(path) and ".." not in Path(path).parts


def _put(source: Path, place: Path, artifacts: Artifacts, model: Model) -> None:
    if not source.exists():
        text = f"model `{model.shown}`: there is no file {source}"
        raise ConversionError(text, "make it, or write configurations only: --artifacts none")
    place.parent.mkdir(parents=True, exist_ok=True)
    if artifacts == "link":
        place.symlink_to(source.resolve())
    elif source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, place)


def _python(stage: ir.Stage, folder: Path) -> None:
    """The model that calls pipectl, and the stage that it runs."""
    runner = files("pipectl.interop.triton").joinpath("runner.py").read_text(encoding="utf-8")
    (folder / "model.py").write_text(runner, encoding="utf-8")
    (folder / "stage.pipe").write_text(to_text(module_of(stage)), encoding="utf-8")
