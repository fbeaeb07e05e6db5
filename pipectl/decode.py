"""Texts, files and JSON as values of a port's type.

Arrays and lists are passed on as they are: the executor checks dtype and shape of what it is given and says
what is wrong. Here only the form is settled: bytes of a bytes port, pixels of an image, rows of a text
file.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline_dsl.plan import InputPlan, OutputPlan
from pipeline_dsl.types import Ragged, Rows, Sized, TensorType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


class DecodeError(ValueError):
    """A text or file that is no value of the port's type."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def from_text(port: InputPlan, text: str) -> Any:
    """The value of `NAME=text`: the text itself for a string or bytes port, JSON for anything else.

    For string ports with dims: a JSON list, or the text as the only row."""
    kind = port.type.dtype.name
    if kind in ("string", "bytes"):
        if port.type.dims and text.startswith("["):
            return from_json(port, _json(text))
        single = text if kind == "string" else text.encode()
        return [single] if port.type.dims else single
    return from_json(port, _json(text))


def from_json(port: InputPlan | OutputPlan, value: Any) -> Any:
    """A decoded JSON value; in a bytes port strings are taken as UTF-8 and {"b64": ".."} as base64."""
    return _bytes(value) if port.type.dtype.name == "bytes" else value


def from_file(port: InputPlan, path: Path) -> Any:
    """The value in a file: raw for bytes, text for string, else by its ending: .npy .npz .json or an
    image."""
    kind = port.type.dtype.name
    if kind == "bytes":
        content = path.read_bytes()
        return [content] if port.type.dims else content
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return _load_array(path)
    if suffix == ".npz":
        return _from_archive(port, path)
    if suffix == ".json":
        return from_json(port, _json(_text(path)))
    if kind == "string":
        text = _text(path)
        return text.splitlines() if port.type.dims else text.removesuffix("\n")
    if suffix in IMAGES:
        return _from_image(port, path)
    if kind == "json":
        return _json(_text(path))
    raise DecodeError(
        f"can not read {port.type} from `{path}`", "use a .npy, .npz or .json file, or an image for a u8 port"
    )


# ---- text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"`{path}` is not UTF-8 text (byte {error.start})") from None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DecodeError(f"not JSON: {error}", 'write numbers and lists like 3, [1, 2] or ["a"]') from None
    except RecursionError:
        raise DecodeError("JSON is nested too deeply") from None


def _bytes(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [_bytes(item) for item in value]
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except binascii.Error as error:
            raise DecodeError(f"not base64: {error}") from None
    if value is None:
        return None
    raise DecodeError('bytes are a string, or {"b64": ".."} with base64 text')


# ---- arrays


def _load_array(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except ValueError:
        raise DecodeError(f"`{path}` is not an .npy file of numbers") from None


def _from_archive(port: InputPlan, path: Path) -> Any:
    """The array with the port's name, or the only one."""
    import zipfile

    import numpy as np

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            name = port.name if port.name in names else names[0] if len(names) == 1 else ""
            if not name:
                found = ", ".join(names) or "none at all"
                raise DecodeError(f"`{path}` has no array `{port.name}`, but {found}")
            return archive[name]
    except (zipfile.BadZipFile, ValueError, AttributeError) as error:
        if isinstance(error, DecodeError):
            raise
        raise DecodeError(f"`{path}` is not an .npz file of numbers") from None


# ---- images


def _from_image(port: InputPlan, path: Path) -> NDArray[np.uint8]:
    """Pixels as u8 in the layout that the port's dims ask for; rows of one for a port with `*`."""
    try:
        import PIL.Image
    except ImportError:
        raise DecodeError("reading images needs Pillow", "pip install 'pipectl[images]'") from None
    import numpy as np

    mode, channels_first = _layout(port, path)
    try:
        with PIL.Image.open(path) as image:
            pixels = np.asarray(image.convert(mode), np.uint8)
    except (PIL.UnidentifiedImageError, OSError, PIL.Image.DecompressionBombError) as error:
        raise DecodeError(f"`{path}` can not be decoded: {error}") from None
    if _image_rank(port.type) == 3 and pixels.ndim == 2:
        pixels = pixels[..., None]
    if channels_first:
        pixels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return pixels[None] if len(port.type.dims) > _image_rank(port.type) else pixels


def _layout(port: InputPlan, path: Path) -> tuple[str, bool]:
    """(Pillow mode, whether channels come first)."""
    rank = _image_rank(port.type)
    if port.type.dtype.name != "u8" or rank not in (2, 3):
        raise DecodeError(
            f"an image gives u8 pixels, and the port is {port.type}: `{path}`",
            "declare the port as u8[H, W, 3] or as bytes and convert it in a stage",
        )
    if rank == 2:
        return "L", False
    first, last = (_fixed(port.type, axis) for axis in (-3, -1))
    if last in (1, 3, 4):
        return {1: "L", 3: "RGB", 4: "RGBA"}[last], False
    if first in (1, 3, 4):
        return {1: "L", 3: "RGB", 4: "RGBA"}[first], True
    return "RGB", False


def _image_rank(type_: TensorType) -> int:
    """Dims of one image: those of the port without a leading `*`, or without the first of four."""
    rank = len(type_.dims)
    return rank - 1 if type_.has_rows or rank == 4 else rank


def _fixed(type_: TensorType, axis: int) -> int | None:
    dim = type_.dims[axis]
    return None if isinstance(dim, Rows | Ragged) or not isinstance(dim, Sized) else dim.size.value
