"""A folder of models -> entries: what each `config.pbtxt` says, and which versions and files lie beside it.

Everything that is wrong with any of them is told at once, with file, line and column. Names that could lead out of
the folder are refused before anything is opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from pipectl.errors import ConversionError
from pipectl.interop.texts import text_of
from pipeline_dsl.spell import did_you_mean
from serving.protocol import message, pool

from .importing import Entry
from .model import FILES
from .overlay import Data, data_of
from .reading import Place, named

CONFIG = "config.pbtxt"
MIB = 4
"""Of one configuration at most."""
CONFIG_NAME = "inference.ModelConfig"


def read_repository(folder: str | Path, base: str | Path) -> list[Entry]:
    """The models of a folder, by name. `base`: the folder that paths of the `.pipe` start from.

    ConversionError that lists everything that can not be read."""
    root = Path(folder)
    if not root.is_dir():
        raise ConversionError(f"{root}: " + ("is not a folder" if root.exists() else "there is no such folder"))
    entries, problems = [], []
    for path in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        try:
            entry = _entry(path, os.path.relpath(path, base or "."))
        except ConversionError as error:
            problems.append(str(error))
            continue
        entries += [entry] if entry is not None else []
    if problems:
        raise ConversionError("\n".join(problems))
    if not entries:
        raise ConversionError(
            f"{root}: there is no model in it", f"a model repository has folders with a {CONFIG} in each"
        )
    return entries


def _entry(folder: Path, shown: str) -> Entry | None:
    """One model; None for a folder that is none."""
    config = folder / CONFIG
    versions = tuple(sorted(int(p.name) for p in folder.iterdir() if p.is_dir() and _is_version(p.name)))
    if not config.exists():
        return _bare(folder, shown, versions)
    data, notes = read_config(config)
    _check_name(data, folder.name, config)
    _guess_backend(data, folder, versions)
    return Entry(folder.name, data, Place(shown, versions or (1,)), str(config), tuple(notes))


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")


def _bare(folder: Path, shown: str, versions: tuple[int, ...]) -> Entry | None:
    """A model without configuration: Triton makes one up from the artifact."""
    data: Data = {"name": folder.name}
    _guess_backend(data, folder, versions)
    if "backend" not in data:
        return None
    return Entry(folder.name, data, Place(shown, versions), str(folder), (f"has no {CONFIG}",))


def _guess_backend(data: Data, folder: Path, versions: tuple[int, ...]) -> None:
    """The backend by the artifact's name, where the configuration names none."""
    if data.get("backend") or data.get("platform") or "ensemble_scheduling" in data:
        return
    backends = {"onnx": "onnxruntime", "tensorrt": "tensorrt", "torch": "pytorch", "python": "python"}
    for ours, filename in FILES.items():
        if any((folder / str(v) / filename).exists() for v in versions):
            data["backend"] = backends[ours]


# ---- one file


def read_config(path: Path) -> tuple[Data, list[str]]:
    """What a configuration says, and what is odd about it."""
    text = text_of(path, MIB, "model configuration")
    config = _parsed(text, path, message(CONFIG_NAME)())
    doubles = list(_doubles(_parsed(text, path, _listed_maps()())))
    return data_of(config), doubles


def _parsed(text: str, path: Path, into: Any) -> Any:
    try:
        return text_format.Parse(text, into, descriptor_pool=pool())
    except text_format.ParseError as error:
        line, column = error.GetLine() or 1, error.GetColumn() or 1
        reason = re.sub(r"^\d+:\d+ : ", "", " ".join(str(error).split()))
        raise ConversionError(f"{path}:{line}:{column}: model `{path.parent.name}`: {_advised(reason)}") from error
    except RecursionError:
        raise ConversionError(f"{path}: model `{path.parent.name}`: it is nested too deeply") from None


def _advised(reason: str) -> str:
    """The parser's words as ours, with the nearest name for what it does not know."""
    field = re.search(r'Message type "([\w.]+)" has no field named "([^"]+)"', reason)
    if field:
        known = [f.name for f in pool().FindMessageTypeByName(field[1]).fields]
        name = field[1].removeprefix("inference.")
        return f"`{name}` has no field `{field[2]}`; " + (
            did_you_mean(field[2], known) or f"its fields: {', '.join(known)}"
        )
    value = re.search(r'Enum type "([\w.]+)" has no value named ([\w-]+)', reason)
    if value:
        known = [v.name for v in pool().FindEnumTypeByName(value[1]).values]
        name = value[1].removeprefix("inference.")
        return f"`{name}` has no value `{value[2]}`; " + (
            did_you_mean(value[2], known) or f"its values: {', '.join(known)}"
        )
    return reason


def _check_name(data: Data, folder: str, path: Path) -> None:
    """A model has the name of its folder; nothing in it leads out of there."""
    if data.get("name", folder) != folder:
        text = f"its name is `{data['name']}`, and its folder `{folder}`: Triton wants them equal"
        raise ConversionError(f"{path}: model `{folder}`: {text}", f'write name: "{folder}", or leave it out')
    labels = [t["label_filename"] for _, t in named(data.get("output", {})) if t.get("label_filename")]
    files = [data.get("default_model_filename", ""), *labels, *data.get("cc_model_filenames", {}).values()]
    for filename in files:
        if filename.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", filename) or "\0" in filename:
            raise ConversionError(f"{path}: model `{folder}`: file `{filename}` is outside of the model's folder")


# ---- what a map hides


@cache
def _listed_maps() -> Any:
    """The configuration's class with maps as lists, which keep an entry that is there twice."""
    file = FileDescriptorProto()
    pool().FindFileByName("model_config.proto").CopyToProto(file)
    file = deepcopy(file)
    todo = list(file.message_type)
    while todo:
        one = todo.pop()
        one.options.map_entry = False
        todo += one.nested_type
    other = DescriptorPool()
    other.Add(file)
    return GetMessageClass(other.FindMessageTypeByName(CONFIG_NAME))


def _doubles(config: Any) -> Iterator[str]:
    for number, step in enumerate(config.ensemble_scheduling.step, 1):
        for field in ("input_map", "output_map"):
            keys = [entry.key for entry in getattr(step, field)]
            for key in sorted({k for k in keys if keys.count(k) > 1}):
                yield f"step {number} (`{step.model_name}`): {field} has `{key}` twice; the last one counts"
    for field in ("parameters", "metric_tags", "cc_model_filenames"):
        keys = [entry.key for entry in getattr(config, field)]
        for key in sorted({k for k in keys if keys.count(k) > 1}):
            yield f"`{field}` has `{key}` twice; the last one counts"
