"""Answers as one .npz file: an array for each output, without ever holding all answers.

Values are spooled to temporary files as they come and written as arrays at the end. `id` names the answered
requests. An output of equal shapes is stacked, [requests, ...]; one of unequal first sizes is joined along
the first axis, beside `<output>.offsets` int64 [requests + 1]. Rows of ragged outputs are joined one after
the other, beside `<output>.lengths` int64 [rows] and the offsets of each request's rows. Absent optional
values and values that can not be joined are an error that says to use another format.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from backends.values import Ragged

from .answer import Answer
from .errors import OutputError

Array = NDArray[Any]
_CHUNK = 1 << 20


class Npz:
    """Writer of a .npz file."""

    def __init__(self, path: Path, outputs: Sequence[str]) -> None:
        self._path = path
        self._file = path.open("wb")
        self._outputs = [name for name in outputs if name != "id"]
        self._spools = {name: _Spool(name) for name in (*self._outputs, "id")}

    def write(self, answer: Answer) -> None:
        """OutputError if a value does not fit; the file is removed then."""
        if answer.outputs is None:
            return
        try:
            self._spools["id"].add(answer.id)
            for name in self._outputs:
                self._spools[name].add(answer.outputs[name])
        except OutputError:
            self._discard()
            raise

    def close(self) -> None:
        if self._file.closed:
            return
        try:
            with zipfile.ZipFile(self._file, "w", allowZip64=True) as archive:
                for spool in self._spools.values():
                    spool.save(archive)
        except OutputError:
            self._discard()
            raise
        self._release()

    def _discard(self) -> None:
        self._release()
        self._path.unlink(missing_ok=True)

    def _release(self) -> None:
        self._file.close()
        for spool in self._spools.values():
            spool.close()


class _Spool:
    """One output's values, appended to a temporary file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the spool
        self._dtype: np.dtype[Any] | None = None
        self._shapes: list[tuple[int, ...]] = []
        self._lengths: array[int] | None = None
        self._longest = 1
        """Characters of the longest string."""

    def add(self, value: Any) -> None:
        if isinstance(value, Ragged):
            self._lengths = array("q") if self._lengths is None else self._lengths
            self._lengths.extend(value.lengths().tolist())
            value = self._packed(value)
        data = np.asarray(value, dtype=object) if isinstance(value, str | bytes) else np.asarray(value)
        if self._dtype not in (None, data.dtype) or (data.dtype.kind == "O" and not _is_text(data)):
            raise self._unfit("its values are not all arrays of one dtype, or text")
        self._dtype = data.dtype
        self._shapes.append(data.shape)
        if data.dtype.kind == "O":
            for text in data.ravel():
                self._longest = max(self._longest, len(text))
                self._file.write(json.dumps(text).encode() + b"\n")
        else:
            self._file.write(np.ascontiguousarray(data).tobytes())

    def save(self, archive: zipfile.ZipFile) -> None:
        """Write the array, and offsets where requests differ in their first size."""
        shape, offsets = self._joined()
        if offsets is not None:
            _save(archive, f"{self.name}.offsets", offsets)
        if self._lengths is not None:
            _save(archive, f"{self.name}.lengths", np.asarray(self._lengths, np.int64))
        text = self._dtype is None or self._dtype.kind == "O"
        dtype = np.dtype(f"<U{self._longest}") if text else self._dtype
        assert dtype is not None
        with archive.open(f"{self.name}.npy", "w", force_zip64=True) as entry:
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(entry, header)
            self._file.seek(0)
            for chunk in self._texts(dtype) if text else iter(lambda: self._file.read(_CHUNK), b""):
                entry.write(chunk)

    def close(self) -> None:
        self._file.close()

    def _joined(self) -> tuple[tuple[int, ...], NDArray[np.int64] | None]:
        """Shape of the one array, and where each request begins in it if it is not stacked."""
        shapes = set(self._shapes)
        if len(shapes) <= 1 and self._lengths is None:
            return (len(self._shapes), *(shapes.pop() if shapes else ())), None
        inner = {shape[1:] for shape in shapes}
        if len(inner) != 1 or () in shapes:
            raise self._unfit("its shapes differ in more than the first size")
        offsets = np.asarray([0, *accumulate(shape[0] for shape in self._shapes)], np.int64)
        return (int(offsets[-1]), *inner.pop()), offsets

    def _packed(self, value: Ragged) -> Array:
        try:
            return value.packed()[0]
        except ValueError:
            raise self._unfit("its rows differ in more than the first size") from None

    def _texts(self, dtype: np.dtype[Any]) -> Iterator[bytes]:
        for line in self._file:
            yield np.asarray(json.loads(line), dtype).tobytes()

    def _unfit(self, why: str) -> OutputError:
        return OutputError(f"output `{self.name}` does not fit an .npz file: {why}", "write a .jsonl or .parquet file")


def _is_text(array: Array) -> bool:
    return all(isinstance(item, str) for item in array.ravel())


def _save(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    with archive.open(f"{name}.npy", "w") as entry:
        np.lib.format.write_array(entry, array, allow_pickle=False)
