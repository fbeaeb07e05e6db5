"""Opens torch artifacts without running what is in them: weights only, unless the stage says `compiled = true`.

`.pt2` is an archive of `torch.export`, whose loader falls back to plain pickle for some members; they are
tried with the restricted unpickler first, and a file that needs more is refused. `.pt` and `.ts` are
TorchScript. `.safetensors`, and a `.pt` or `.pth` of weights, are loaded into a module that the stage's
`factory` builds. What AOTInductor compiled is in `torch_compiled`."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

from pipeline_dsl.plan import StagePlan

from .artifact import missing_library
from .base import BackendError

EXPORTED = (".pt2",)
SCRIPTED = (".pt", ".pth", ".ts", ".torchscript")
WEIGHTS = (".safetensors", ".pt", ".pth")


def exported_program(torch: Any, path: Path, stage: StagePlan) -> Any:
    """The program in a `.pt2` file. BackendError if it is not one, or holds code."""
    _check_archive(torch, path, stage)
    try:
        return torch.export.load(path)
    except Exception as error:
        raise not_a_model(path, stage, error, "write it with torch.export.save") from error


def script_module(torch: Any, path: Path, stage: StagePlan, device: str = "cpu") -> Any:
    """The module in a TorchScript file, on a device, in evaluation mode."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # TorchScript is deprecated in favour of torch.export; users know their files
            return torch.jit.load(str(path), map_location=device).eval()
    except Exception as error:
        hint = 'write it with torch.jit.save or torch.export.save; for weights alone give factory = "pkg.mod:build"'
        raise not_a_model(path, stage, error, hint) from error


def load_weights(torch: Any, module: Any, path: Path, stage: StagePlan, device: str = "cpu") -> None:
    """Fill a module with the weights of a file. BackendError where names or shapes differ."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            weights = load_file(str(path), device=device)
        else:
            weights = torch.load(str(path), map_location=device, weights_only=True)
    except ImportError as error:
        raise missing_library(stage, "safetensors", "torch", error) from error
    except Exception as error:
        raise not_a_model(path, stage, error, "only files of plain weights are read") from error
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        message = f"stage `{stage.name}`: the weights in {path} do not fit the module: {_short(error)}"
        raise BackendError(message, "the factory must build the module the weights were saved from") from error


def _check_archive(torch: Any, path: Path, stage: StagePlan) -> None:
    """BackendError if a member would be unpickled without restriction."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if len(names) != len(set(names)):
                raise BackendError(f"stage `{stage.name}`: {path} holds two members of one name")
            if any("/aotinductor/" in name or name.endswith((".so", ".o")) for name in names):
                hint = "add `compiled = true` if you trust the file, or write the program itself with torch.export.save"
                text = f"stage `{stage.name}`: {path} holds compiled code, which is run only where the stage says so"
                raise BackendError(text, hint)
            pickled = [name for name in names if name.endswith(".pt") or "/sample_inputs/" in name]
            for config in (name for name in names if name.endswith("_config.json")):
                pickled += _pickled_members(archive, config)
            for name in pickled:
                _check_member(torch, archive.read(name), path, stage)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise not_a_model(path, stage, error, "write it with torch.export.save") from error


def _pickled_members(archive: zipfile.ZipFile, config: str) -> list[str]:
    folder = config.rpartition("/")[0]
    entries = json.loads(archive.read(config)).get("config", {}).values()
    plain = [e for e in entries if isinstance(e, dict)]
    return [
        f"{folder}/{entry['path_name']}"
        for entry in plain
        if entry.get("use_pickle") or str(entry.get("path_name", "")).startswith("custom_obj")
    ]


def _check_member(torch: Any, data: bytes, path: Path, stage: StagePlan) -> None:
    if not data:
        return
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        message = f"stage `{stage.name}`: {path} holds more than plain weights, which could run code"
        raise BackendError(message, "export it again with tensors as its only constants and sample inputs") from error


def not_a_model(path: Path, stage: StagePlan, error: Exception, hint: str) -> BackendError:
    """What to say of a file that its library does not take."""
    return BackendError(f"stage `{stage.name}`: {path} is not a model that can be loaded: {_short(error)}", hint)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
